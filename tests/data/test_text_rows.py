"""Files of rows: what is read, and that a fault is named by file and line."""

import csv
import io
import json

import pytest

from compacter_cli.data import text_files, text_rows
from compacter_cli.data.text_rows import MOST_COLUMNS, read_rows
from compacter_cli.errors import CompacterError, UsageError

FORMS = ("jsonl", "csv", "tsv")
ROWS = [{"text": "an apple", "label": "yes"}, {"text": "iron", "label": "no"}]


@pytest.fixture
def read(file):
    """Rows of a file with some content."""
    return lambda form, content, *columns: list(
        read_rows(file(content, f"rows.{form}"), form, columns)
    )


@pytest.fixture
def refused(read, tmp_path):
    """What `read` complains of, `rows.x` in front of it taken away: (message, hint)."""

    def refused(form, content, *columns):
        with pytest.raises(CompacterError) as caught:
            read(form, content, *columns)
        message = str(caught.value)
        path = str(tmp_path / f"rows.{form}")
        assert message.startswith(path)
        assert "\n" not in message
        return message.removeprefix(path), caught.value.hint

    return refused


def written(form, rows):
    """Rows as a file of some form, without any character that needs a quote."""
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows)
    lines = [list(rows[0]), *(row.values() for row in rows)]
    return "".join({"csv": ",", "tsv": "\t"}[form].join(line) + "\n" for line in lines)


# Text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_three_formats_hold_the_same_rows(read, form, end, mark):
    content = mark + written(form, ROWS).replace("\n", end)
    found = read(form, content, "text", "label")
    first = 1 if form == "jsonl" else 2
    assert found == [(first, ROWS[0]), (first + 1, ROWS[1])]


@pytest.mark.parametrize("form", FORMS)
def test_a_last_line_needs_no_end(read, form):
    assert [row for _, row in read(form, written(form, ROWS).rstrip("\n"))] == ROWS


@pytest.mark.parametrize("form", FORMS)
def test_blank_lines_count_as_lines_and_are_no_rows(read, form):
    lines = written(form, ROWS).split("\n")
    last = len(lines) - 2
    found = read(form, "\n".join([*lines[:last], "", "", lines[last], "", ""]))
    assert found == [(last, ROWS[0]), (last + 3, ROWS[1])]


@pytest.mark.parametrize("form", FORMS)
def test_columns_beside_the_needed_ones_are_kept(read, form):
    assert [row for _, row in read(form, written(form, ROWS), "label")] == ROWS


def test_csv_is_quoted_as_usual(read):
    texts = ["one, two", 'she said "no"', "two\nlines", "", " spaces ", '"', "größe\u2028\x85"]
    rows = [{"text": text, "label": str(place)} for place, text in enumerate(texts)]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["text", "label"])
    writer.writeheader()
    writer.writerows(rows)
    assert [row for _, row in read("csv", out.getvalue(), "text", "label")] == rows


def test_quotes_in_a_tsv_are_text(read):
    content = 'text\tlabel\n"one\t1\n"two"\t2\n3\t"\n'
    assert [tuple(row.values()) for _, row in read("tsv", content)] == [
        ('"one', "1"),
        ('"two"', "2"),
        ("3", '"'),
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_separator_of_lines_is_a_part_of_a_cell(read, form, separator):
    rows = [{"text": f"one{separator}two", "label": "yes"}, ROWS[1]]
    assert read(form, written(form, rows)) == [(2, rows[0]), (3, rows[1])]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_separator_of_lines_is_a_part_of_a_json_text(read, separator):
    rows = [{"text": f"one{separator}two"}, {"text": "three"}]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert separator in content
    assert read("jsonl", content, "text") == [(1, rows[0]), (2, rows[1])]


def test_json_values_keep_their_types(read):
    row = {"text": "a", "n": 3, "f": 0.5, "flag": False, "empty": "", "zero": 0}
    unread = {"list": [1], "object": {"a": None}}  # of no interest, so they may be anything
    assert read("jsonl", json.dumps({**row, **unread}), *row) == [(1, {**row, **unread})]


def test_a_cell_of_any_length_is_read(read):
    text = "x" * 200_000  # more than the limit of the csv module
    assert read("csv", f"text\n{text}\n", "text") == [(2, {"text": text})]


# Faults


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(refused, form, content):
    assert refused(form, content, "text")[0] == " holds no rows"


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_header_alone_is_no_row(refused, form):
    assert refused(form, written(form, ROWS).split("\n")[0], "text")[0] == " holds no rows"


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize(("cells", "count"), [(["b"], 1), (["b", "c", "d"], 3)])
def test_a_row_of_another_length_is_refused_by_its_line(refused, form, separator, cells, count):
    lines = [["text", "label"], ["a", "yes"], [], cells]
    message, hint = refused(form, "\n".join(map(separator.join, lines)) + "\n", "text")
    assert message.startswith(", line 4: expected 2 columns")
    assert message.endswith(f"got {count}")
    assert "(text, label)" in message
    assert ("quote" in (hint or "")) == (form == "csv")


def test_a_short_row_behind_a_cell_of_two_lines_is_named_by_its_own(refused):
    message, _ = refused("csv", 'text,label\n"a\nb",yes\nc\n')
    assert message.startswith(", line 4: ")


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
def test_a_column_that_is_there_twice_is_refused(refused, form, separator):
    message, _ = refused(form, f"text{separator}label{separator}text\n", "text")
    assert message.startswith(", line 1: ")
    assert "the column text is there twice" in message


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_column_is_named_beside_those_that_are_there(refused, form):
    first = 1 if form == "jsonl" else 2
    message, hint = refused(form, written(form, ROWS), "text", "stars")
    more = "; 1 more row is wrong: line 2" if form == "jsonl" else ""  # of a table it is the header
    assert message == f', line {first}: expected the column "stars", got text, label{more}'
    assert hint == "every row needs text, stars"
    _, hint = refused(form, written(form, ROWS), "text", "labels")
    assert hint == 'did you mean "label"?'


def test_a_missing_column_near_to_none_lists_the_needed_ones(refused):
    _, hint = refused("csv", "a,b\n1,2\n", "premise", "hypothesis")
    assert "premise, hypothesis" in hint


def test_a_json_row_may_lack_a_column_that_another_has(refused):
    message, _ = refused("jsonl", '{"text": "a"}\n\n{"label": "b"}\n', "text")
    assert message.startswith(', line 3: expected the column "text"')


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null", "true"])
def test_json_that_is_no_object_is_refused_by_its_line(refused, line):
    message, _ = refused("jsonl", f'{{"text": "a"}}\n\n{line}\n', "text")
    assert message.startswith(", line 3: expected a JSON object")


@pytest.mark.parametrize("line", ["{", "text", "{'text': 'a'}", '{"text": "a"} {"text": "b"}'])
def test_broken_json_is_refused_by_its_line(refused, line):
    message, _ = refused("jsonl", f'{{"text": "a"}}\n\n\n{line}\n', "text")
    assert message.startswith(", line 4: not JSON: ")


@pytest.mark.parametrize("rest", ['"a" b\n', '"a\n'])
def test_broken_quotes_of_a_csv_are_refused_by_their_line(refused, rest):
    message, _ = refused("csv", f"text\nx\n{rest}", "text")
    assert message.startswith(", line 3: ")


# Several faults


@pytest.mark.parametrize(
    ("form", "content", "said"),
    [
        ("csv", "a,b\nx\ny,z\n", ""),
        ("csv", "a,b\nx\ny,z\nx,y,z\n", "; 1 more row is wrong: line 4"),
        ("tsv", "a\tb\nx\ny\tz\n\ny\nz\nx\n", "; 3 more rows are wrong: lines 5, 6, 7"),
        (
            "jsonl",
            '7\n{"a": 1}\n{\n{}\n\n[]\n{}\n',
            "; 4 more rows are wrong: lines 3, 4, 6 and others",
        ),
        ("csv", 'a,b\nx\ny\n"x,y\n', "; at least 1 more row is wrong: line 3"),  # an open quote
        ("csv", b"a,b\nx\ny\n\xff,y\n", ""),  # read in blocks: it is the first that is found
    ],
)
def test_of_several_wrong_rows_all_are_counted_in_the_first_one_s_line(
    refused, form, content, said
):
    message, _ = refused(form, content, "a")
    assert message.startswith((", line 1: ", ", line 2: ", ", line 4: not UTF-8"))
    assert message.partition("; ")[1:] == said.partition("; ")[1:]


def test_what_a_caller_checks_counts_too_and_its_error_stays_of_its_kind(file):
    path = file("text\na\nb\na\nb\nb\n", "rows.csv")
    taken = []

    def check(number, row):
        if row["text"] == "b":
            raise UsageError(f"line {number} is b", "mend it")

    with pytest.raises(UsageError) as caught:
        taken.extend(read_rows(path, "csv", ("text",), check=check))
    assert str(caught.value) == "line 3 is b; 2 more rows are wrong: lines 5, 6"
    assert (caught.value.hint, caught.value.exit_code) == ("mend it", 2)


def test_behind_a_wrong_row_no_more_than_a_part_of_a_large_file_is_read(refused, monkeypatch):
    monkeypatch.setattr(text_rows, "LOOKED_ON", 40)
    message, _ = refused("csv", "text,label\nx\n" + "y,z\nx\n" * 1_000, "text")
    assert message.endswith("; at least 6 more rows are wrong: lines 4, 6, 8 and others")


@pytest.mark.parametrize(("others", "said"), [(2, "2"), (3, "at least 2"), (9, "at least 2")])
def test_no_more_than_some_wrong_rows_are_counted(refused, monkeypatch, others, said):
    monkeypatch.setattr(text_rows, "COUNTED", 2)
    message, _ = refused("tsv", "a\tb\nx\n" + "y\n" * others, "a")
    assert message.endswith(f"; {said} more rows are wrong: lines 3, 4")


# Hostile files


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[" * 5_000, "nested too deeply"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"text": ' + "9" * 5_000 + "}", "an integer of 5,000 digits"),
        ('{"text": "a", "more": ' + "9" * 5_000 + "}", "an integer of 5,000 digits"),
        ('{"text": NaN}', "NaN is no value of JSON"),
        ('{"text": "a", "more": [-Infinity]}', "-Infinity is no value of JSON"),
        ('{"text": 1e400}', "1e400 is a number too large to be one"),
        ('{"text": "a", "more": {"deep": [-1e400]}}', "-1e400 is a number too large to be one"),
        ('{"text": ' + "9" * 5_000 + ".0}", "999… is a number too large to be one"),
        ('{"text": {"a": 1}}', "is an object, expected a text"),
        ('{"text": []}', "is an array, expected a text"),
        ('{"text": "\\ud83d"}', "half of a surrogate pair"),
        ('{"text": "\\ude00\\ud83d"}', "half of a surrogate pair"),
        ('{"text": "a\\u0000b"}', "holds a NUL character"),
        ('{"text": "a\0b"}', "holds a NUL character"),
        ("\0", "holds a NUL character"),
        ('{"' + "x" * 100_000 + '": 1}', 'expected the column "text", got xxx'),
        ('{"\\n\\ud83d\\u001b[31m": 1}', 'expected the column "text", got'),
    ],
)
def test_a_hostile_line_of_json_is_refused_by_its_number(refused, line, said):
    message, _ = refused("jsonl", f'{{"text": "a"}}\n\n{line}\n', "text")
    assert message.startswith(", line 3: ")
    assert said in message
    assert len(message) < 500
    assert message.isprintable()


def test_a_pair_of_surrogates_is_a_character(read):
    assert read("jsonl", '{"text": "\\ud83d\\ude00"}', "text") == [(1, {"text": "\U0001f600"})]


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_nul_in_a_table_is_refused_by_its_line(refused, form):
    assert refused(form, "text\na\nb\0c\n", "text")[0] == ", line 3: holds a NUL character"


def test_lists_of_texts_are_read_where_a_task_has_them(file):
    path = file('{"a": "x", "b": ["y", "z"]}', "rows.jsonl")
    (found,) = read_rows(path, "jsonl", ("a", "b"), lists=("b",))
    assert found == (1, {"a": "x", "b": ["y", "z"]})
    for cell, said in (('"y"', "is a text"), ("[1]", "is an array"), ('["\\ud83d"]', "surrogate")):
        path = file(f'{{"a": "x", "b": {cell}}}', "rows.jsonl")
        with pytest.raises(CompacterError, match=f'line 1: the column "b" .*{said}'):
            list(read_rows(path, "jsonl", ("a", "b"), lists=("b",)))


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(refused, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1_000)
    message, hint = refused("csv", 'text\n"a\n' + "b\n" * 100_000, "text")
    assert "field larger than field limit" in message
    assert "closed" in hint


def test_a_header_without_end_is_refused_in_a_moment(refused):
    message, _ = refused("csv", "a," * 1_000_000 + "b\n", "text")
    assert message == f", line 1: 1,000,001 columns; more than {MOST_COLUMNS:,} are not read"
