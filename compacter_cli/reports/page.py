"""A report as one page that needs nothing else: figures inside, tables that sort."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from compacter_cli.reports.drawing import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from compacter_cli.reports.report import Report
    from compacter_cli.reports.table import Column, Entry, Row, Table

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --mark: #1f5f8b; }
@media (prefers-color-scheme: dark) { :root { --mark: #7fb8de; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
nav a { margin-right: 1rem; color: var(--mark); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86em; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; }
th.words, td.words { text-align: left; }
td.words { white-space: normal; max-width: 32rem; overflow-wrap: anywhere; }
thead th { border-bottom: 1px solid; position: sticky; top: 0; background: Canvas; }
tbody { border-bottom: 1px solid var(--line); }
tbody:hover { background: var(--soft); }
th button { border: 0; background: none; margin: 0; padding: 0; font: inherit; color: inherit;
  cursor: pointer; width: auto; }
th button:focus-visible { outline: 2px solid var(--mark); }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
td.best { font-weight: 700; }
td[title] { text-decoration: underline dotted; }
.notes { font-size: .82em; opacity: .8; padding-left: 1.2rem; }
.problem { border-left: 3px solid #c0392b; padding-left: .6rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; background: #fff; }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 9px; } th, td { padding: .1rem .3rem; }
  nav { display: none; }
  figure, tbody { break-inside: avoid; } thead th { position: static; } .wide { overflow: visible; }
  th[aria-sort] button::after { content: none; }
}
"""

# A group of rows is a tbody of its own and is sorted by its first row; numbers by their value.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("thead th").forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (body) => body.rows[0].cells[index].dataset.sort ?? "";
      const bodies = [...table.tBodies].map((body) => [value(body), body]);
      bodies.sort(([one], [other]) => {
        if (one === "" || other === "") return (one === "") - (other === "");
        const gap = Number(one) - Number(other);
        const order = Number.isNaN(gap) ? one.localeCompare(other) : gap;
        return up ? order : -order;
      });
      bodies.forEach(([, body]) => table.append(body));
    });
  });
}
"""


def page(report: Report) -> str:
    """The report as an HTML document."""
    return "\n".join(_parts(report)) + "\n"


def _parts(report: Report) -> Iterator[str]:
    title, parts = escape(report.title), _named_parts(report)
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield f'<head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head>"
    yield f"<body><h1>{title}</h1>"
    yield from (f"<pre>{escape(line)}</pre>" for line in report.lines)
    yield from (f'<p class="problem">{escape(problem)}</p>' for problem in report.problems)
    yield from (f"<p>{escape(line)}</p>" for line in report.closing)
    yield _links(parts)
    yield from parts.values()
    yield f"<script>{SCRIPT}</script></body>"
    yield "</html>"


def _named_parts(report: Report) -> dict[str, str]:
    """The main table, the figures and the other tables, by name."""
    tables = {name: _table(name, table) for name, table in report.tables.items()}
    figures = {name: _figure(name, *drawn) for name, drawn in report.drawn.items()}
    main = dict([*tables.items()][:1])
    return {**main, **figures, **tables}


def _figure(name: str, heading: str, figure: Figure) -> str:
    svg = inline_svg(figure, _id(name), heading)
    return f'<h2 id="{_id(name)}">{escape(heading)}</h2>\n<figure>{svg}</figure>'


def _links(names: Iterable[str]) -> str:
    links = (f'<a href="#{_id(name)}">{escape(name)}</a>' for name in names)
    return f"<nav>{''.join(links)}</nav>"


def _id(name: str) -> str:
    """A name as an id of the page."""
    return "part-" + "".join(letter if letter.isalnum() else "-" for letter in name)


def _table(name: str, table: Table) -> str:
    return "\n".join(_table_lines(name, table))


def _table_lines(name: str, table: Table) -> Iterator[str]:
    yield f'<h2 id="{_id(name)}">{escape(table.title)}</h2>'
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(map(_head, table.columns))
    yield "</tr></thead>"
    for _, rows in groupby(enumerate(table.rows), lambda item: item[1].group or str(item[0])):
        yield f"<tbody>{''.join(_row(row, table) for _, row in rows)}</tbody>"
    yield "</table></div>"
    if sentences := table.sentences("bold"):
        notes = (f"<li>{escape(note)}</li>" for note in sentences)
        yield f'<ul class="notes">{"".join(notes)}</ul>'


def _head(column: Column) -> str:
    kind = ' class="words"' if column.words else ""
    return f'<th scope="col"{kind}><button type="button">{escape(column.title)}</button></th>'


def _row(row: Row, table: Table) -> str:
    cells = (_cell(entry, column) for entry, column in zip(row.entries, table.columns, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(entry: Entry, column: Column) -> str:
    kinds = " ".join(filter(None, ("words" * column.words, "best" * entry.best)))
    attributes = {"class": kinds, "title": entry.note, "data-sort": _sort_value(entry)}
    shown = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value)
    return f"<td{shown}>{escape(entry.text)}</td>"


def _sort_value(entry: Entry) -> str:
    """What an entry is sorted by: its own value, or the first number that it has."""
    values = entry.values
    numbers = (
        value
        for name, value in values.items()
        if name not in ("n", "planned") and isinstance(value, int | float)
    )
    value = values[""] if "" in values else next(numbers, None)
    if value is None:
        return ""
    return repr(value) if isinstance(value, int | float) else str(value)
