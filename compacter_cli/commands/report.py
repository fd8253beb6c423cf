"""`compacter report`: look at a sweep, at a run, or at several runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import JsonOption, renamed
from compacter_cli.commands.streams import visible
from compacter_cli.errors import CompacterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from compacter_cli.reports.report import Report
    from compacter_cli.reports.resampling import Predicted
    from compacter_cli.reports.runs import RunView

SOME = 8  # letters that are shown as examples
Form = Literal["terminal", "markdown", "csv", "latex"]


def _instead_of_format(value: str) -> str:
    return "--json" if value == "json" else f"--as {value}"


def command(
    what: Annotated[
        list[Path],
        typer.Argument(
            help="A sweep's directory, or those of runs.",
            metavar="RUN|SWEEP",
            autocompletion=completion.runs,
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="TABLE", help="Only this table, such as scores."),
    ] = None,
    form: Annotated[Form, typer.Option("--as", help="How tables are written.")] = "terminal",
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", metavar="DIR", help="Draw all figures into a folder, PNG and SVG."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write all of it as one page.")
    ] = None,
    json_: JsonOption = False,
    _former: Annotated[str | None, renamed("--format", _instead_of_format)] = None,
) -> None:
    """Look at a sweep, at a run, or compare runs: scores, noise, figures.

    Example: compacter report runs/glue/rte/compacterpp/mine runs/glue/rte/full/mine
    """
    from compacter_cli.commands.console import err, show_note

    check_new(html, "--html")
    check_folder(figures, html)
    found = report(directories=what, say=err.say)
    if table is not None:
        found.table(table)
    files = figure_files(found, figures) if figures else {}
    for problem in found.problems:
        show_note(problem)
    if figures or html:
        note_letters(found)
    if figures and not files:
        show_note(f"--figures {figures}: there is nothing to draw yet")
    show(found, form, table, json_)
    for path, data in files.items():
        write_new(path, data)
        err.say(f"drawn: {path}")
    if html:
        from compacter_cli.reports.page import page

        write_new(html, page(found).encode())
        err.say(f"written: {html}")


def report(
    *, directories: Sequence[Path], say: Callable[[str], None] = lambda line: None
) -> Report:
    """The report of a sweep, of a run, or of several runs.

    Args:
        directories: a sweep's, or those of one run or more.
        say: called with a line before what takes its time.

    Raises:
        UsageError: one of them is neither, or a sweep is not alone.
        CompacterError: what says which sweep it is, or its index, is damaged.
    """
    from compacter_cli.reports.run_report import report_of_run
    from compacter_cli.reports.runs import view_run
    from compacter_cli.reports.runs_report import letters, report_of_runs
    from compacter_cli.reports.sweep_report import report_of_sweep
    from compacter_cli.sweeps.directory import is_sweep, read_sweep

    sweeps = [directory for directory in directories if is_sweep(directory)]
    if sweeps and len(directories) > 1:
        raise UsageError(f"{sweeps[0]} is a sweep, which is reported alone", "give one directory")
    if sweeps:
        state = read_sweep(sweeps[0])
        return report_of_sweep(state.sweep, state.lines, sweeps[0])
    check_distinct(directories)
    runs = [view_run(directory) for directory in directories]
    if len(runs) == 1:
        return report_of_run(runs[0])
    answers = dict(zip(letters(len(runs)), map(answers_of, runs), strict=True))
    return report_of_runs(runs, answers, say)


def check_distinct(directories: Sequence[Path]) -> None:
    """Refuse to compare a run with itself."""
    seen: set[Path] = set()
    for directory in directories:
        place = directory.resolve()
        if place in seen:
            raise UsageError(f"{directory} is given twice", "give each run once")
        seen.add(place)


def answers_of(run: RunView) -> Predicted | str:
    """A run's test answers, or why there are none."""
    from compacter_cli.training.predictions import read_predictions

    if run.result is None:
        return f"no test, the run is {run.state}"
    try:
        return read_predictions(run.directory)
    except (CompacterError, OSError) as error:
        return f"no test, {error}"


def check_new(path: Path | None, option: str) -> None:
    """Refuse a file that could not be written, or is there, before anything else is done.

    Raises:
        UsageError: it is there already, or its folder is not.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    if path.exists():
        raise UsageError(f"{option} {path}: it is there already", "give another name")


def check_folder(folder: Path | None, html: Path | None) -> None:
    """Refuse a folder of figures that could not be made, before anything else is done.

    Raises:
        UsageError: it, or what it is to be in, is a file, or is to be the page.
    """
    if folder is None:
        return
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise UsageError(f"--figures {folder}: {place} is a file", "give a folder")
    if html is not None and html.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(f"--figures {folder} and --html {html} are one place", "give two")


def figure_files(found: Report, folder: Path) -> dict[Path, bytes]:
    """The figures of a report as files of a folder, PNG and SVG; none while nothing is to draw.

    Raises:
        UsageError: one of them is there already.
    """
    from compacter_cli.reports.drawing import png_bytes, svg_text

    files: dict[Path, bytes] = {}
    for name, (_, figure) in found.drawn.items():
        files[folder / f"{name}.png"] = png_bytes(figure)
        files[folder / f"{name}.svg"] = svg_text(figure).encode()
    for path in files:
        if path.exists():
            raise UsageError(
                f"--figures {folder}: {path.name} is there already", "give another folder"
            )
    return files


def note_letters(found: Report) -> None:
    """Say which letters the figures show as boxes, where there are some."""
    from compacter_cli.commands.console import show_note
    from compacter_cli.reports.drawing import missing_letters

    if letters := missing_letters(figure for _, figure in found.drawn.values()):
        some = f"{letters[:SOME]} ..." if len(letters) > SOME else letters
        show_note(f"the figures' font lacks some letters, which are drawn as boxes: {some}")


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, and the folder that it is in.

    Raises:
        UsageError: it is there by now.
        CompacterError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten", "choose another name") from None
    except OSError as error:
        raise CompacterError(f"cannot write {path}: {error.strerror}") from error


def show(found: Report, form: Form, name: str | None = None, json_: bool = False) -> None:
    """Print a report, or one of its tables, in a form or as JSON."""
    if json_:
        from compacter_cli.commands.console import print_json
        from compacter_cli.reports.rendering import as_data

        print_json(found.data() if name is None else as_data(found.table(name)))
    elif form == "terminal":
        show_on_terminal(found, name)
    else:
        typer.echo(visible(text_of(found, form, name)), nl=False)


def text_of(found: Report, form: Literal["markdown", "csv", "latex"], name: str | None) -> str:
    """The tables of a report as text, as many as it shows; of CSV, which holds one, the main one.

    Raises:
        CompacterError: there is no table yet.
    """
    from compacter_cli.reports.rendering import csv_text, latex, markdown

    names = [name] if name else list(found.shown)
    if not names:
        raise CompacterError("there is no table to write yet", "the run has nothing but its start")
    if form == "csv":
        return csv_text(found.table(names[0]))
    write = markdown if form == "markdown" else latex
    return "\n".join(write(found.table(one)) for one in names)


def show_on_terminal(found: Report, name: str | None = None) -> None:
    """Print a report, or one of its tables, as wide as the terminal."""
    from compacter_cli.commands.console import out
    from compacter_cli.commands.lines import wrapped
    from compacter_cli.commands.report_tables import rich_tables

    if name is None:
        out.say(found.title, "bold")
        for line in found.lines:
            out.say(line)
    for one in [name] if name else found.shown:
        table = found.table(one)
        out.say(f"\n{table.title} ({one})", "bold")
        for number, part in enumerate(rich_tables(table, out.width) if table.rows else ()):
            out.print(*([""] if number else []), part, sep="\n")
        for note in table.sentences("bold" if out.is_terminal else ""):
            out.print(wrapped(note, out.width), soft_wrap=True)
    if name is None:
        out.print()
        for line in (*found.closing, *more(found)):
            out.say(line)


def more(found: Report) -> Iterator[str]:
    """What of a report is not on the terminal, in a line."""
    rest = [name for name in found.tables if name not in found.shown]
    tables = f"more tables: --table {', --table '.join(rest)}; " if rest else ""
    figures = "figures: --figures DIR; " if found.figures else ""
    yield f"{tables}{figures}all of it as a page: --html FILE"
