"""What stands on a method's page that code knows: its settings, counts, rates, recipes, scores.

MkDocs calls `on_page_markdown`; a method's page has its facts at the line `<!-- facts -->`, and any
page a table of all methods at `<!-- methods -->`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from compacter_cli.methods import METHODS
from compacter_cli.methods.bottleneck import Bottleneck
from compacter_cli.paper.counting import count
from compacter_cli.paper.demo_scores import demo_scores
from compacter_cli.paper.tables import paper_tables
from compacter_cli.recipe.shipped import outline_of, shipped_recipes
from compacter_cli.t5.shapes import DEMO_PRESET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compacter_cli.methods.base import Method
    from compacter_cli.paper.tables import ScoreRow, ScoreTable

FACTS, ALL = "<!-- facts -->", "<!-- methods -->"
BACKBONES = {
    "T5-small": "t5_small_multi",
    "T5-base": "t5_base_multi",
    "T5-large": "t5_large_multi",
    "the demo's T5": DEMO_PRESET,
}
SCORES: dict[str, ScoreTable] = {"GLUE (Table 1)": "table1", "SuperGLUE (Table 2)": "table2"}
SHARED = {*Bottleneck.model_fields} - {"bottleneck"}
"""Settings that are not a method's own, but of all of its kind."""
BYTES = 4  # of a trained number in an adapter file


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put a method's facts where its page wants them."""
    return with_facts(markdown, page.file.src_uri)


def with_facts(markdown: str, path: str) -> str:
    """A page with what it wants of these."""
    name = path.removeprefix("methods/").removesuffix(".md")
    if name in METHODS:
        markdown = markdown.replace(FACTS, "\n\n".join(facts(name)))
    return markdown.replace(ALL, overview()) if ALL in markdown else markdown


def overview() -> str:
    """A table of all methods on T5-base."""
    rows = []
    for name, kind in METHODS.items():
        item = count("t5_base_multi", kind())
        own = [f"`{key}`" for key in kind.model_fields if key not in {"name", *SHARED}]
        page = f"[{kind.title}]({name}.md)"
        rows.append(
            (page, f"`{name}`", f"{item.trained:,}", f"{item.percent():.4f}", ", ".join(own))
        )
    return _table(("method", "`method.name`", "parameters", "%", "its own settings"), rows)


def facts(name: str) -> Iterator[str]:
    """The paragraphs and tables about the method called `name`."""
    kind = METHODS[name]
    yield "## Settings"
    yield from _settings(kind)
    yield "## What it costs"
    yield _counts(kind())
    yield from _paper(name)
    yield from _demo(name)
    yield "## Recipes"
    yield _recipes(name)


def _settings(kind: type[Method]) -> Iterator[str]:
    told = _told(kind)
    rows = [
        (
            f"`{key}`",
            _value(field),
            _meaning(field, told[key]),
        )
        for key, field in kind.model_fields.items()
        if key != "name"
    ]
    yield _table(("key of `[method]`", "default", ""), rows) if rows else "It has none."
    rates = f"Without `train.learning_rate` it is {kind.learning_rate:g} in the paper's setting"
    searched = kind.searched_rate
    yield f"{rates}." if searched is None else f"{rates}, and {searched:g} in any other."


def _told(kind: type[Method]) -> dict[str, str]:
    """The docstring under each field, an inherited one too."""
    told = {}
    for owner in reversed(kind.__mro__):
        if "__annotations__" in vars(owner) and owner.__module__.startswith("compacter_cli"):
            told |= _docstrings(owner)
    return told


def _docstrings(owner: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(words.value.value.split())
        for field, words in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant)
    }


def _meaning(field: Any, words: str) -> str:
    choices = _choices(field.annotation)
    return f"{words} One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else words


def _choices(annotation: Any) -> list[str]:
    """The strings that a field, or an item of it, may be."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]


def _value(field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None:
        return ""
    if isinstance(default, str | list):
        return f"`{default}`".replace("'", '"')
    return str(default).lower() if isinstance(default, bool) else f"{default:,}"


def _counts(method: Method) -> str:
    rows = []
    for title, backbone in BACKBONES.items():
        item = count(backbone, method)
        if item.problems:
            rows.append((title, item.problems[0].message, "", ""))
        else:
            size = f"{item.trained * BYTES / 1e6:,.2f} MB"
            rows.append((title, f"{item.trained:,}", f"{item.percent():.4f}", size))
    told = "At its defaults, of one task. As in the paper, of at most 32,100 rows of vocabulary."
    return f"{told}\n\n{_table(('backbone', 'trained', '%', 'adapter file, about'), rows)}"


def _paper(name: str) -> Iterator[str]:
    tables = paper_tables()
    rows = [(benchmark, tables[table].get(name)) for benchmark, table in SCORES.items()]
    if not any(row for _, row in rows):
        yield "It is in none of the paper's tables."
        return
    heads = ("the paper's", "n", "trained, %", "average score")
    yield _table(
        heads,
        [
            (benchmark, str(row.get("n", "")), f"{row['trained_percent']:g}", _average(row))
            for benchmark, row in rows
            if row
        ],
    )
    costs = tables["table3"]
    cost, full = costs.get("prompt" if name.startswith("prompt") else name), costs["full"]
    if cost and cost is not full:
        time = cost["minutes_per_epoch"] / full["minutes_per_epoch"] - 1
        memory = cost["memory_mb"] / full["memory_mb"] - 1
        yield (
            f"Against full fine-tuning an update takes {time:+.0%} time and {memory:+.0%} memory "
            "by the paper's Table 3; [measured here](../profile.md) on a CPU and a GPU."
        )


def _average(row: ScoreRow) -> str:
    average = row["scores"]["avg"]
    assert isinstance(average, float)
    return f"{average:.2f}"


def _demo(name: str) -> Iterator[str]:
    tasks = {task: cells[name] for task, cells in demo_scores()["tasks"].items() if name in cells}
    rows = [
        (f"`{task}`", f"{cell['learning_rate']:g}", f"{fmean(scores):.1f} ± {stdev(scores):.1f}")
        for task, cell in tasks.items()
        if (scores := [fmean(run["test"].values()) for run in cell["runs"]])
    ]
    yield "On the [demo's tasks](../demo.md), over three seeds:"
    yield _table(("task", "rate", "test score"), rows)


def _recipes(name: str) -> str:
    """The shipped recipes of a method by their folder."""
    found: dict[str, list[str]] = {}
    for recipe, file in shipped_recipes().items():
        outline = outline_of(file)
        if outline and outline.method == name:
            folder, _, stem = recipe.partition("/")
            found.setdefault(folder, []).append(f"`{stem}`")
    return _table(
        ("folder", "recipes"), [(f"`{key}/`", ", ".join(it)) for key, it in found.items()]
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
