"""Every command and snippet of README, CONTRIBUTING and docs: parsed, and run where it can be.

A command is parsed by the program's own parser, and what it names - recipes, keys, extras, options
of benchmarks - is looked up. By `-m slow` each is also run, in a folder that holds what the pages
speak of in small: `RUN`, `path/to/preset`, `path/to/originals` and so on. `NOT_RUN` says which are
not, and why; what nobody has said how to check fails.
"""

import ast
import contextlib
import importlib
import json
import re
import shlex
import shutil
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from compacter_cli.main import COMMANDS, app
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe, recipe_of
from compacter_cli.recipe.tables import is_pretraining, read_tables
from compacter_cli.sweeps.reading import load_sweep, sweep_of

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LANGUAGES = {"sh", "toml", "python", "json", "text", "math"}
FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """A piece of code: the page that it is on, its language and its text."""

    page: str
    language: str
    text: str


def pages():
    """Every page that is written by hand, by its path."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


PAGES = pages()
SNIPPETS = [
    Snippet(page, *found.groups())
    for page, text in PAGES.items()
    for found in FENCED.finditer(text)
]


def lines_of(text):
    """The commands of a block of shell, without comments and where output goes."""
    joined = re.sub(r"\\\n\s*", " ", text)
    joined = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), joined)
    lines = (shlex.join(shlex.split(line, comments=True)) for line in joined.splitlines())
    parts = (part for line in lines if line for part in re.split(r" (?:'&&'|'\|') ", line))
    return [re.sub(r" '>' \S+$", "", part) for part in parts]


def in_backticks(text):
    """What a text says to call between backticks."""
    return re.findall(r"(?<!`)`(compacter [a-z][^`]*)`(?!`)", FENCED.sub("", text))


def of_language(*languages):
    return [snippet for snippet in SNIPPETS if snippet.language in languages]


LINES = sorted(
    {line for snippet in of_language("sh") for line in lines_of(snippet.text)}
    | {shlex.join(shlex.split(line)) for text in PAGES.values() for line in in_backticks(text)}
)
OURS = [line for line in LINES if line.startswith("compacter ")]
OTHERS = [line for line in LINES if not line.startswith("compacter ")]


def parse(line):
    """The command of a line and its options by name; nothing is run.

    Raises:
        Exception: there is no such command or option, or a value is of the wrong type.
    """
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    command, path = typer.main.get_command(app), []
    while words and hasattr(command, "commands") and words[0] in command.commands:
        path.append(words[0])
        command = command.get_command(None, words.pop(0))
    if hasattr(command, "commands"):
        raise ValueError(f"no such command: {line}")
    return " ".join(path), command.make_context(path[-1], words).params


def test_all_code_stands_in_a_fence_that_says_its_language():
    assert {snippet.language for snippet in SNIPPETS} <= LANGUAGES
    for page, text in PAGES.items():
        rest = FENCED.sub("", text)
        assert not re.search(r"^```", rest, re.MULTILINE), page
        assert not re.search(r"\n\n {4}\S", rest), page


def test_every_command_is_shown_with_a_line():
    shown = {parse(line)[0].split()[0] for line in OURS}
    assert shown == set(COMMANDS)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A folder with the backbones and recipes that the pages name. Do not change it."""
    place = tmp_path_factory.mktemp("stage")
    for name in ("path/to/preset", "path/to/flan-t5-base", "my_t5", "my_preset"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / "compacter_cli/presets/demo_t5", place / name)
    (own,) = (it.text for it in of_language("toml") if it.page == "README.md")
    (place / "my_recipe.toml").write_text(own, encoding="utf-8")
    for name in ("a.toml", "b.toml", "my_rte.toml"):
        shutil.copy(ROOT / "recipes/glue/rte_compacterpp.toml", place / name)
    return place


@pytest.mark.parametrize("line", OURS)
def test_a_command_parses(line, stage, monkeypatch):
    monkeypatch.chdir(stage)
    name, options = parse(line)
    recipes = options.get("recipe") or []
    for recipe in recipes if isinstance(recipes, list) else [recipes]:
        _check_recipe(name, recipe, options.get("set_") or [])
    if name == "sweep" and options["name"] not in (None, "NAME"):
        assert load_sweep(options["name"])


def _check_recipe(command, name, overrides):
    pretraining = is_pretraining(read_tables(name)[1])
    assert pretraining == (command == "pretrain") or command == "validate"
    load = load_pretraining if pretraining else load_recipe
    assert load(name, overrides)


@pytest.mark.parametrize(
    "line",
    ["compacter trian --recipe x", "compacter train --receipt x", "compacter train --seed many"],
)
def test_a_wrong_command_would_be_noticed(line):
    with pytest.raises(Exception, match=r"(?i)no such|valid integer"):
        parse(line)


@pytest.mark.parametrize("line", OTHERS)
def test_a_command_of_another_program_names_what_there_is(line):
    words = shlex.split(line)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    CHECKS[words[0]](words[1:])


def _pip(words):
    extras = PROJECT["project"]["optional-dependencies"]
    named = re.findall(r"\[([\w,-]+)\]", " ".join(words))
    assert {extra for group in named for extra in group.split(",")} <= set(extras)
    assert words[0] == "install"


def _python(words):
    if words[0] == "-m":
        assert words[1] in ("pytest", "venv")
        return _pytest(words[2:]) if words[1] == "pytest" else None
    script = (ROOT / words[0]).read_text(encoding="utf-8")
    shared = (ROOT / "benchmarks/setting.py").read_text(encoding="utf-8")
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in script + shared, option
    return None


def _pytest(words):
    markers = [mark.split(":")[0] for mark in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    for option, value in pairwise(words):
        assert option != "-m" or value in markers
    assert all((ROOT / word).exists() for word in words if word.startswith("tests"))


def _torchrun(words):
    assert parse(shlex.join(["compacter", *words[words.index("compacter_cli") + 1 :]]))


def _curl(words):
    body = words[words.index("-d") + 1]
    assert body.startswith("@") or json.loads(body)


def _nothing(words):
    """Another's program, or one that this file cannot know better than `.ci/run` does."""


CHECKS = {
    "pip": _pip,
    "pipx": _nothing,
    "uv": _nothing,
    "python": _python,
    "torchrun": _torchrun,
    "curl": _curl,
    **dict.fromkeys([".", "basedpyright", "cp", "dask", "mkdocs", "pre-commit", "ruff"], _nothing),
    **dict.fromkeys(["cat", "tensorboard"], _nothing),
}


def test_what_is_only_shown_is_no_command():
    for snippet in of_language("text"):
        first = {line.split()[0] for line in snippet.text.splitlines() if line.strip()}
        assert not first & {"compacter", *CHECKS}, snippet


@pytest.mark.parametrize("snippet", of_language("json"), ids=lambda it: it.page)
def test_json_is_json(snippet):
    assert json.loads(snippet.text)


@pytest.mark.parametrize("snippet", of_language("toml"), ids=lambda it: it.page)
def test_toml_is_a_recipe_or_a_part_of_one(snippet, stage, monkeypatch):
    monkeypatch.chdir(stage)
    tables = tomllib.loads(snippet.text)
    if "tasks" in tables:
        assert sweep_of({"name": "it", **tables}, snippet.page)
    elif "task" in tables:
        assert recipe_of(tables, snippet.page)
    else:
        _, whole = read_tables("glue/rte_compacterpp")
        assert tables.keys() <= whole.keys() | {"output"}
        joined = {name: {**whole.get(name, {}), **table} for name, table in tables.items()}
        method = tables.get("method", {})
        assert recipe_of({**whole, **joined, **({"method": method} if method else {})}, "it")


# Run, by -m slow.

# That of Keras runs in a process of its own, with TensorFlow: tests/adapters/test_attached.py.
PYTHON = sorted({snippet.page for snippet in of_language("python")} - {"docs/keras.md"})
NOT_RUN = {
    "data prepare": "downloads; tests/data prepares from made-up files",
    "demo": "minutes; .ci/run trains the same, tests/commands/test_demo.py runs it in small",
    "serve": "waits for requests; tests/serving asks a served one",
    "report runs/sweeps/demo --as markdown --table gains": "its 204 runs take an hour",
}
"""How the lines begin that are not run here, and why."""
ELSEWHERE = {"dask_jobqueue": "a cluster"}
"""What Python that is not run has in it: what it needs."""
SMALL = ("--set", "train.epochs=1", "--set", "train.warmup_steps=2",
         "--set", "data.max_train_samples=40", "--set", "train.batch_size=20")  # fmt: skip


WRITES = {"convert": "directory", "pretrain": "output", "recipes copy": "to"}
"""Where commands write that write nothing over."""
PRETRAINED = (
    'text.files=["my.txt"]', "vocabulary.size=150", "vocabulary.sentinels=8",
    "backbone.hidden_dim=16", "backbone.intermediate_dim=32", "backbone.num_layers=1",
    "backbone.num_heads=2", "backbone.key_value_dim=8", "train.steps=3", "train.batch_size=4",
    "train.length=16", "train.warmup_steps=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(keras, stage, rte_folder, tmp_path_factory):
    """A folder that holds what the pages speak of. Do not change it."""
    place = tmp_path_factory.mktemp("world") / "world"
    shutil.copytree(stage, place)
    shutil.rmtree(place / "path/to/flan-t5-base")
    shutil.copytree(rte_folder, place / "path/to/originals")
    rows = [f"a {word} film {number}" for number, word in enumerate(["good", "bad"] * 30)]
    labels = ["positive", "negative"] * 30
    for name in ("reviews.csv", "new.csv", "labelled.csv", "new.tsv"):
        mark = "\t" if name.endswith(".tsv") else ","
        cells = [("text", "label"), *zip(rows, labels, strict=True)]
        (place / name).write_text("".join(f"{mark.join(it)}\n" for it in cells), encoding="utf-8")
    new = [json.dumps({"text": row}) for row in rows]
    (place / "new.jsonl").write_text("\n".join(new), encoding="utf-8")
    pairs = [{"sentence1": "It rains.", "sentence2": "It is wet."}] * 3
    (place / "pairs.jsonl").write_text("".join(f"{json.dumps(it)}\n" for it in pairs))
    named = [
        {**pair, "adapter": name} for pair, name in zip(pairs, ["rte", "cb", "rte"], strict=True)
    ]
    (place / "rows.jsonl").write_text("".join(f"{json.dumps(it)}\n" for it in named))
    (place / "my.txt").write_text("\n".join(rows * 4), encoding="utf-8")
    with contextlib.chdir(place):
        for run, method in {"RUN": "lora", "OTHER_RUN": "compacterpp", FULL: "full"}.items():
            call(f"compacter train --recipe glue/rte_{method} --output {run}")
        call("compacter train --recipe my_recipe.toml --output OWN")
        for run in COPIES:
            shutil.copytree("OTHER_RUN", run)
        call("compacter convert path/to/preset path/to/flan-t5-base --to hf")
        call("compacter convert OTHER_RUN theirs --to adapterhub")
        call("compacter sweep --recipe demo/smoke_compacterpp --output my_sweep")
        for sweep in ("DIR", "runs/sweeps/demo", "runs/sweeps/table1"):
            shutil.copytree("my_sweep", sweep)
    return place


FULL = "runs/glue/rte/full/mine"
RUN_OF = {"adapterhub": "OTHER_RUN", "new.": "OWN", "labelled.": "OWN", "--file -": "OWN"}
"""What `RUN` is where a line has such a word: of a method or of rows that it goes with."""
COPIES = "runs/glue/rte/compacterpp/mine", "runs/glue/rte/adapter/other"


def call(line):
    """Run a command line in small."""
    piped = Path("new.tsv").read_bytes() if " --file - " in line else None
    done = CliRunner().invoke(app, _in_small(line), input=piped)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return done


FITTING = {"adapterdrop": "method.dropped_blocks=1", "_phm": "method.n=4"}
"""What a method must be told to fit the small backbone, by a part of its recipe's name."""


def _in_small(line):
    """The words of a command that fetches nothing and takes seconds."""
    (name, options), words = parse(line), shlex.split(line)[1:]
    if name == "train":
        recipe = str(options["recipe"])
        own = ["output.watch=[]"]  # which takes an extra; tests/training/test_watching.py has it
        own += [it for part, it in FITTING.items() if part in recipe]
        own += ["data.folder=path/to/originals"] if recipe.startswith("glue/") else []
        own += [] if recipe.startswith("demo/") else ["backbone.preset=path/to/preset"]
        return [*words, *(word for it in own for word in ("--set", it)), *SMALL, "--offline"]
    if name == "sweep":
        smoke = "smoke" in str(options["recipe"])
        return [*words, *(SMALL[:4] if smoke else ["--dry-run", "--no-estimate"]), "--offline"]
    if name == "pretrain":
        return [*words, *(word for value in PRETRAINED for word in ("--set", value))]
    if name == "profile":
        sizes = ("--backbone", "--steps", "--batch-size", "--memory-budget", "--threads")
        words = [w for w, before in zip(words, ["", *words], strict=False) if before not in sizes]
        words = [word for word in words if word not in sizes]
        small = ["--backbone", "demo/t5", "--steps", "1", "--batch-size", "2", "--threads", "1"]
        return [*words, *small, *([] if "--method" in words else ["--method", "compacterpp"])]
    return words


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [line for line in OURS if not line.startswith(tuple(f"compacter {it}" for it in NOT_RUN))],
)
def test_a_command_runs(world, tmp_path, monkeypatch, line):
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    name, options = parse(line)
    if name in WRITES and (place := options[WRITES[name]]).exists():
        place.unlink() if place.is_file() else shutil.rmtree(place)
    if name == "sweep":
        shutil.rmtree("runs/sweeps")  # of other runs
    run = next((run for word, run in RUN_OF.items() if word in line), "RUN")
    call(re.sub(r"\bRUN\b", run, line).replace("NAME", "demo"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PYTHON)
def test_python_of_a_page_runs(world, tmp_path, monkeypatch, page):
    shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    names = {"__name__": page}
    for snippet in of_language("python"):
        if snippet.page == page and not any(module in snippet.text for module in ELSEWHERE):
            exec(compile(snippet.text, page, "exec"), names)


@pytest.mark.parametrize("snippet", of_language("python"), ids=lambda it: it.page)
def test_python_imports_what_there_is(keras, snippet):
    for node in ast.walk(ast.parse(snippet.text)):
        if isinstance(node, ast.ImportFrom) and node.module not in ELSEWHERE:
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module}.{name.name}"


def test_the_readme_counts_as_the_program_does():
    rows = re.findall(
        r"^\| (\[`\w+`\].*?) \|.*\| ([\d,]+) \| ([\d.]+) \|$", PAGES["README.md"], re.M
    )
    counts = {
        name: (f"{item.trained:,}", f"{item.percent():.4f}".removesuffix(".0000"))
        for name, item in ((name, count("t5_base_multi", METHODS[name]())) for name in METHODS)
    }
    assert {n: tuple(row[1:]) for row in rows for n in re.findall(r"`(\w+)`", row[0])} == counts


def test_the_readme_links_to_files_that_are_there():
    text = FENCED.sub("", PAGES["README.md"])
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
