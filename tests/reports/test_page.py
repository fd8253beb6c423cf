"""The page: well-formed, complete, sortable, and nothing in it from elsewhere."""

import dataclasses
from html.parser import HTMLParser

import pytest

from compacter_cli.reports.page import page
from compacter_cli.reports.report import Report
from compacter_cli.reports.sweep_report import report_of_sweep
from compacter_cli.reports.table import Column, Entry, Row, Table, words

VOID = {"meta", "br", "hr", "img", "input", "link"}
REFERS = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed, in order; every id is there once."""

    def __init__(self):
        super().__init__()
        self.open, self.found, self.ids, self.references = [], [], [], []
        self.text = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in REFERS]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def sweep_page(make_sweep, make_line):
    search = {"method.n": [4, 8]}
    arms = [{"name": "full"}, {"name": "compacter", "search": search}]
    sweep = make_sweep(arms=arms, title="<Sweep> & more", paper="table1")
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, trained_percent=100.0),
        make_line("glue/rte", "compacter", {"accuracy": 70.0}, setting={"method.n": 4}),
        make_line(
            "glue/rte", "compacter", setting={"method.n": 8}, state="failed",
            error="<script>alert(1)</script>", run="runs/x",
        ),
    ]  # fmt: skip
    report = report_of_sweep(sweep, lines)
    return page(dataclasses.replace(report, problems=("index.jsonl: <1> line",)))


def test_the_page_is_well_formed_and_holds_every_table_and_figure(sweep_page):
    reader = read(sweep_page)
    assert sweep_page.startswith("<!DOCTYPE html>")
    assert (
        len(reader.all("table")) == 8
    )  # scores, gains, by n, choices, cost, settings, runs, failed
    assert len(reader.all("svg")) == len(reader.all("figure")) == 2
    assert len(reader.ids) == len(set(reader.ids))
    assert "Chosen settings" in reader.text
    assert {attrs["href"] for attrs in reader.all("a")} <= {f"#{name}" for name in reader.ids}


def test_nothing_is_fetched_from_elsewhere(sweep_page):
    reader = read(sweep_page)
    assert reader.references
    assert all(reference.startswith("#") for reference in reader.references)
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in reader.found}
    for needle in ("@import", "url(http", "fetch(", "XMLHttpRequest", "import("):
        assert needle not in sweep_page
    links = [part.split('"')[0] for part in sweep_page.split('="http')[1:]]
    assert set(links) <= {"://www.w3.org/2000/svg", "://www.w3.org/1999/xlink"}  # names, not places


def test_every_text_is_escaped(sweep_page):
    reader = read(sweep_page)
    assert len(reader.all("script")) == 1
    assert "<script>alert(1)</script>" in reader.text
    assert "<Sweep> & more" in reader.text
    assert "index.jsonl: <1> line" in reader.text


def test_every_head_is_a_button_and_sorts_by_values(sweep_page):
    reader = read(sweep_page)
    heads = [attrs for attrs in reader.all("th") if attrs.get("scope") == "col"]
    assert len(heads) == len(reader.all("button")) > 20
    assert "aria-sort" in sweep_page
    assert {"70.0", "60.0"} <= {attrs.get("data-sort") for attrs in reader.all("td")}


def test_rows_of_an_arm_are_sorted_together(sweep_page):
    first = sweep_page[sweep_page.index("<tbody>") :]
    assert first[: first.index("</tbody>")].count("<tr>") == 3  # ours, the paper's, the difference


def test_it_knows_dark_screens_and_paper(sweep_page):
    assert "prefers-color-scheme: dark" in sweep_page
    assert "@media print" in sweep_page


def test_notes_of_entries_are_titles_and_the_best_is_bold():
    entries = (Entry("failed", note='out of "memory"'), Entry("1", {"": 1}, best=True))
    table = Table("t", (Column("a", words=True), Column("b")), (Row(entries),), ("a note",))
    reader = read(page(Report("title", ("a line",), {"t": table}, ("t",))))
    failed, best = reader.all("td")
    assert failed == {"class": "words", "title": 'out of "memory"'}
    assert best == {"class": "best", "data-sort": "1"}
    assert {"a note", "a line"} <= set(reader.text)


def test_rows_without_a_group_are_sorted_each_alone():
    table = Table("t", (Column("a", words=True),), (Row((words("x"),)), Row((words("y"),))))
    assert len(read(page(Report("title", (), {"t": table}, ("t",)))).all("tbody")) == 2
