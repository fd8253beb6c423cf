"""The tables of `compacter count-params`."""

from collections.abc import Iterator, Sequence

import typer

from compacter_cli.commands.aligned import print_aligned
from compacter_cli.commands.streams import visible
from compacter_cli.paper.counting import Count, reported_percent, reported_total

COLUMNS = ("adapters", "rule A", "biases", "norms", "prompts", "subspace")  # of the paper's methods


def show(counts: Sequence[Count], built: Sequence[int | None] | None = None) -> None:
    """Print counts: by component and beside the paper's for one backbone, briefly for several.

    `built` is what the built models train, where they were built.
    """
    if len({item.backbone for item in counts}) > 1:
        print_aligned(_brief_rows(counts), left=2, gap=2)
    else:
        typer.echo(visible(f"parameters trained on {counts[0].backbone}"))
        print_aligned(_component_rows(counts))
        if any(not item.problems for item in counts):
            print_aligned(_paper_rows(counts), gap=2)
            for line in _legend(counts):
                typer.secho(line, dim=True)
    if built is not None:
        checked = sum(size is not None for size in built)
        typer.echo(f"verified: {checked} built models train exactly these numbers")


def _component_rows(counts: Sequence[Count]) -> Iterator[Sequence[str]]:
    """A column for every component of the paper's methods, then those of others."""
    columns = list(dict.fromkeys((*COLUMNS, *(name for item in counts for name in item.columns()))))
    yield "method", *columns, "trained"
    for item in counts:
        sizes = item.columns()
        cells = (f"{sizes[column]:,}" if column in sizes else "-" for column in columns)
        yield item.method.name, *cells, "n/a" if item.problems else f"{item.trained:,}"


def _paper_rows(counts: Sequence[Count]) -> Iterator[Sequence[str]]:
    yield "method", "%", "paper", "% own", "8 tasks", "paper", "+norms", "6 tasks", "paper"
    for item in counts:
        if not item.problems:
            yield (
                item.method.name,
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


def _brief_rows(counts: Sequence[Count]) -> Iterator[Sequence[str]]:
    yield "backbone", "method", "trained", "%", "% own"
    previous = None
    for item in counts:
        name = item.backbone if item.backbone != previous else ""
        previous = item.backbone
        yield name, item.method.name, *([_why(item), "", ""] if item.problems else _brief(item))


def _brief(item: Count) -> list[str]:
    return [f"{item.trained:,}", f"{item.percent():.4f}", f"{item.percent_own():.4f}"]


def _why(item: Count) -> str:
    return f"n/a ({item.problems[-1].short or item.problems[-1].message})"


def _legend(counts: Sequence[Count]) -> Iterator[str]:
    for item in counts:
        if item.problems:
            yield f"{item.method.name}: {_why(item)}"
    shown = [item for item in counts if not item.problems]
    first = shown[0]
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
    forms = ((item.method.name, item.closed_form()) for item in shown)
    known = [f"{name} {form:,}" for name, form in forms if form is not None]
    if known:
        yield "paper, section 4 (no biases, no layer norms): " + ", ".join(known)
