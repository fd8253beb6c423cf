"""One table in every format."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from compacter_cli.reports.rendering import (
    PAGE_ROWS,
    as_data,
    csv_text,
    in_latex,
    latex,
    markdown,
)
from compacter_cli.reports.table import Column, Entry, Row, Table, formatted, number, words

MEAN = Entry("70.00 ± 1.00", {"accuracy": 70.0, "sd": 1 / 3}, best=True)
TABLE = Table(
    title="Scores_1 & more",
    columns=(Column("method", words=True), Column("RTE"), Column("avg")),
    rows=(
        Row((words("A|B"), MEAN, number(70.123456))),
        Row((words('C "quoted", 5 %'), Entry("failed", note="out of memory"), number(None))),
    ),
    notes=("50 % of #1",),
)


def test_what_stands_out_is_explained_by_how_a_format_marks_it():
    rows = (Row((Entry("1", best=True),)),)
    marked = Table("t", (Column("a"),), rows, ("a note",), best="the larger")
    assert marked.sentences("bold") == ["a note", "bold: the larger"]
    assert marked.sentences() == ["a note"]
    assert "- bold: the larger\n" in markdown(marked)
    assert as_data(marked)["notes"] == ["a note", "best: the larger"]
    plain = Table("t", (Column("a"),), (Row((Entry("1"),)),), best="the larger")
    assert plain.sentences("bold") == []


def test_markdown_has_a_line_a_row_and_bold_for_the_best():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == r"**Scores\_1 &amp; more**"
    assert lines[2:] == [
        "| method | RTE | avg |",
        "| --- | ---: | ---: |",
        r"| A\|B | **70.00 ± 1.00** | 70.12 |",
        '| C "quoted", 5 % | failed | - |',
        "",
        "- 50 % of #1",
    ]


def test_markdown_obeys_nothing_in_a_text():
    text = markdown(Table("t", (Column("x"),), (Row((words("[a](b) &lt; <i> $x$ ~c~"),)),)))
    assert text.splitlines()[-1] == r"| \[a\](b) &amp;lt; &lt;i&gt; \$x\$ \~c\~ |"


def test_csv_comes_back_with_every_digit():
    rows = list(csv.DictReader(io.StringIO(csv_text(TABLE))))
    assert list(rows[0]) == ["method", "RTE accuracy", "RTE sd", "avg"]
    assert float(rows[0]["RTE sd"]) == 1 / 3
    assert float(rows[0]["avg"]) == 70.123456
    assert rows[1] == {"method": 'C "quoted", 5 %', "RTE accuracy": "", "RTE sd": "", "avg": ""}


def test_csv_writes_settings_as_json():
    entry = Entry("n 4", {"": {"method.n": 4}})
    table = Table("t", (Column("setting", words=True),), (Row((entry,)),))
    (row,) = csv.DictReader(io.StringIO(csv_text(table)))
    assert json.loads(row["setting"]) == {"method.n": 4}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("5 % of #1 & $x_2$", r"5 \% of \#1 \& \$x\_2\$"),
        ("{a}~^\\", r"\{a\}\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("1 ± 2 <3>", r"1 $\pm$ 2 \textless{}3\textgreater{}"),
        ("Δ 2 × 3", r"$\Delta$ 2 $\times$ 3"),
        ("[x] 70.00*", "{[}x] 70.00{*}"),  # no option of the end of the row before it
    ],
)
def test_latex_obeys_nothing_in_a_text(text, escaped):
    assert in_latex(text) == escaped


def test_latex_is_a_table_of_booktabs():
    text = latex(TABLE)
    assert r"\begin{tabular}{lrr}" in text
    assert r"\caption{Scores\_1 \& more}" in text
    assert r"    A|B & \textbf{70.00 $\pm$ 1.00} & 70.12 \\" in text
    rules = [line.strip() for line in text.splitlines() if "rule" in line]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"\footnotesize 50 \% of \#1" in text


def test_latex_parts_groups_of_several_rows():
    rows = tuple(Row((words(name),), name[0]) for name in ("a1", "a2", "b1", "c1"))
    text = latex(Table("t", (Column("x", words=True),), rows))
    assert text.count(r"\addlinespace") == 1
    assert text.index("a2") < text.index(r"\addlinespace") < text.index("b1")


def test_a_table_of_more_rows_than_a_page_has_goes_on_in_another():
    rows = tuple(Row((words(f"row{number}"),)) for number in range(PAGE_ROWS + 1))
    first, second = latex(Table("t", (Column("x", words=True),), rows, ("noted",))).split(
        "\\end{table}\n\n"
    )
    assert r"\caption{t}" in first
    assert r"\caption{t (continued)}" in second
    assert ("row39 " in first, "row40 " in second) == (True, True)
    assert ("noted" in first, "noted" in second) == (False, True)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    odd = Table('a\\b{c}&%$#_~^±−×Δ<>"[k]*', TABLE.columns, TABLE.rows, TABLE.notes)
    text = "".join(map(latex, (TABLE, odd)))
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "t.tex").write_text(rf"{head}{text}\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_plain_data_holds_texts_values_and_notes():
    data = json.loads(json.dumps(as_data(TABLE)))
    assert data["columns"] == ["method", "RTE", "avg"]
    assert data["rows"][0]["RTE"] == {
        "text": "70.00 ± 1.00", "values": {"accuracy": 70.0, "sd": 1 / 3}, "best": True,
    }  # fmt: skip
    assert data["rows"][1]["RTE"] == {"text": "failed", "note": "out of memory"}
    assert data["notes"] == ["50 % of #1"]


def test_plain_data_is_json_whatever_a_recipe_says():
    entry = Entry("nan", {"": float("nan"), "deep": {"x": [1, float("inf")]}})
    data = as_data(Table("t", (Column("x"),), (Row((entry,)),)))
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text)["rows"][0]["x"]["values"] == {"": None, "deep": {"x": [1, None]}}


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-0.001, ".2f", "0.00"),
        (-0.001, "+.2f", "0.00"),
        (-1.5, "+.2f", "-1.50"),
        (0.5, "+.1f", "+0.5"),
        (1234.5, ",.0f", "1,234"),
    ],
)
def test_what_rounds_to_zero_has_no_sign(value, form, text):
    assert formatted(value, form) == text
