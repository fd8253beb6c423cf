"""The tables of `compacter count-params`."""

from collections.abc import Iterable, Iterator, Sequence

import typer

from compacter_cli.commands.aligned import print_aligned
from compacter_cli.commands.lines import say
from compacter_cli.commands.options import SIZES
from compacter_cli.commands.streams import visible
from compacter_cli.paper.counting import Count, reported_percent, reported_total

COLUMNS = ("adapters", "rule A", "biases", "norms", "prompts", "subspace")  # of the paper's methods


def show(counts: Sequence[Count], built: Sequence[int | None] | None = None) -> None:
    """Print counts: by component and beside the paper's for one backbone, briefly for several.

    `built` is what the built models train, where they were built.
    """
    names = _names(counts)
    if len({item.backbone for item in counts}) > 1:
        print_aligned(_brief_rows(counts, names), left=2)
    else:
        typer.echo(visible(f"parameters trained on {counts[0].backbone}"))
        columns = _columns(counts)
        rows = zip(_component_rows(counts, names, columns), _paper_rows(counts), strict=True)
        print_aligned((one + other for one, other in rows), breaks=[2 + len(columns)])
        for line in _legend(counts, names):
            say(visible(line))
    if built is not None:
        checked = sum(size is not None for size in built)
        typer.echo(f"verified: {checked} built models train exactly these numbers")


def _names(counts: Sequence[Count]) -> list[str]:
    """The methods' names, with those numbers that tell one from others of the same name."""
    return [
        " ".join((item.method.name, *_told_apart(item, (o for o in counts if _alike(o, item)))))
        for item in counts
    ]


def _alike(one: Count, other: Count) -> bool:
    return one.method.name == other.method.name


def _told_apart(item: Count, others: Iterable[Count]) -> Iterator[str]:
    """The numbers of a method in which one of the others differs, as options give them."""
    settings, of_others = item.method.settings(), [other.method.settings() for other in others]
    for option, field in SIZES.items():
        if any(other.get(field) != settings.get(field) for other in of_others):
            yield f"{option}={settings[field]}"


def _columns(counts: Sequence[Count]) -> list[str]:
    """The components of the paper's methods, then those of others."""
    return list(dict.fromkeys((*COLUMNS, *(name for item in counts for name in item.columns()))))


def _component_rows(
    counts: Sequence[Count], names: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    yield "method", *columns, "trained"
    for item, name in zip(counts, names, strict=True):
        sizes = item.columns()
        cells = (f"{sizes[column]:,}" if column in sizes else "-" for column in columns)
        yield name, *cells, "n/a" if item.problems else f"{item.trained:,}"


def _paper_rows(counts: Sequence[Count]) -> Iterator[tuple[str, ...]]:
    yield "%", "paper", "% own", "8 tasks", "paper", "+norms", "6 tasks", "paper"
    for item in counts:
        yield ("-",) * 8 if item.problems else _beside_the_paper(item)


def _beside_the_paper(item: Count) -> tuple[str, ...]:
    return (
        f"{item.percent():.4f}",
        _cell(reported_percent(item)),
        f"{item.percent_own():.4f}",
        f"{item.total(8):.3f}",
        _cell(reported_total(item, "table1")),
        f"{item.total(8, with_norms=True):.3f}",
        f"{item.total(6):.3f}",
        _cell(reported_total(item, "table2")),
    )


def _cell(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.3f}"


def _brief_rows(counts: Sequence[Count], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield "backbone", "method", "trained", "%", "% own"
    previous = None
    for item, method in zip(counts, names, strict=True):
        name = item.backbone if item.backbone != previous else ""
        previous = item.backbone
        yield name, method, *([_why(item), "", ""] if item.problems else _brief(item))


def _brief(item: Count) -> list[str]:
    return [f"{item.trained:,}", f"{item.percent():.4f}", f"{item.percent_own():.4f}"]


def _why(item: Count) -> str:
    return f"n/a ({item.problems[-1].short or item.problems[-1].message})"


def _legend(counts: Sequence[Count], names: Sequence[str]) -> Iterator[str]:
    for item, name in zip(counts, names, strict=True):
        if item.problems:
            yield f"{name}: {_why(item)}"
    shown = [(item, name) for item, name in zip(counts, names, strict=True) if not item.problems]
    if not shown:
        return
    first, _ = shown[0]
    if first.base != first.own.base:
        yield (
            f"counted, and %, with the paper's vocabulary of {first.rows:,} rows: of "
            f"{first.base:,}; % own: of {first.own.base:,}, the backbone as it is"
        )
    else:
        yield f"%: of {first.base:,}, the backbone as it is"
    yield (
        "8, 6 tasks: all parameters that many tasks need, as a multiple of the backbone; the "
        "paper leaves out the layer norms each task keeps, +norms counts them"
    )
    forms = ((name, item.closed_form()) for item, name in shown)
    known = [f"{name} {form:,}" for name, form in forms if form is not None]
    if known:
        yield "paper, section 4 (no biases, no layer norms): " + ", ".join(known)
