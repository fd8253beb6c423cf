"""One's own files as rows: each checked, and what is wrong named by file and line."""

import hashlib
import json

import pytest

from compacter_cli.data.own_files import own_files, rows_from_own_files
from compacter_cli.data.sources import find_rows, load_rows, split_sizes
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError
from compacter_cli.recipe.sections import OwnDataSection
from compacter_cli.tasks.own import OwnTask

ROWS = [{"text": f"row {number}", "label": "ny"[number % 2]} for number in range(20)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def section(**given):
    values = {"source": "text: {text}", "target": "{label}", "labels": ["n", "y"], **given}
    return OwnDataSection(**{"train": "train.jsonl", **values})


def task(given, form="jsonl"):
    return OwnTask.of(form, given)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(given, form="jsonl"):
    return rows_from_own_files(task(given, form), own_files(given), given.seed)


def listed(rows):
    return {split: list(found) for split, found in rows.splits.items()}


def refused(given, form="jsonl"):
    with pytest.raises(CompacterError) as caught:
        read(given, form)
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.hint


def test_rows_of_a_group_stay_together_and_sizes_say_so(here):
    rows = [{**row, "who": number % 50} for number, row in enumerate(ROWS * 10)]  # 50 of 4 rows
    write(here / "train.jsonl", rows)
    given = section(group="{who}")
    found = task(given).split.apply(read(given).splits, 42)
    people = [{row["who"] for row in split} for split in found.values()]
    assert [len(split) for split in found.values()] == list(
        split_sizes(task(given), given).values()
    )
    assert sum(map(len, people)) == 50


def test_a_group_too_large_to_be_divided_is_told(here):
    write(here / "train.jsonl", [{**row, "who": "one"} for row in ROWS])
    said, hint = refused(section(group="{who}"))
    assert "train.jsonl: too few rows to divide; train would have none" in said
    assert hint.endswith("a file of its own for validation, or a data.group of fewer rows")


@pytest.mark.parametrize("empty", ["", " "])
def test_a_row_without_a_group_is_told_where_its_file_is_divided(here, empty):
    write(here / "train.jsonl", [*({**row, "who": 1} for row in ROWS), {**ROWS[0], "who": empty}])
    said, hint = refused(section(group="{who}"))
    assert "line 21: the row has an empty group" in said
    assert "data.group" in hint
    write(here / "dev.jsonl", ROWS[:4])  # which has no such column, and needs none
    read(section(group="{who}", validation="train.jsonl", train="dev.jsonl", test="dev.jsonl"))


def test_a_group_s_column_that_is_not_there_is_told(here):
    write(here / "train.jsonl", ROWS)
    said, hint = refused(section(group="{who}"))
    assert 'has no column "who", which data.group names; it has text, label' in said
    assert "--set data.group=" in hint


def test_rows_and_where_they_came_from(here):
    (here / "more").mkdir()
    write(here / "train.jsonl", ROWS)
    write(here / "more" / "dev.jsonl", ROWS[:4])
    given = section(validation=str(here / "more" / "dev.jsonl"))
    rows = read(given)
    origin = rows.origin
    assert listed(rows) == {"train": ROWS, "validation": ROWS[:4]}
    assert origin["way"] == "own files"
    assert origin["sha256"] == {
        "train": hashlib.sha256((here / "train.jsonl").read_bytes()).hexdigest(),
        "validation": hashlib.sha256((here / "more" / "dev.jsonl").read_bytes()).hexdigest(),
    }


def test_the_sources_read_them(here):
    write(here / "train.jsonl", ROWS)
    given = section()
    rows = load_rows(task(given), given, offline=True)
    assert listed(rows) == {"train": ROWS}
    assert rows.origin == read(given).origin
    sizes = split_sizes(task(given), given)
    assert sizes == {"train": 18, "validation": 1, "test": 1}
    found = task(given).split.apply(rows.splits, 42)
    assert {split: len(rows) for split, rows in found.items()} == sizes


def test_a_path_of_the_home_is_expanded(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    write(here / "rows.jsonl", ROWS)
    assert own_files(section(train="~/rows.jsonl")) == {"train": here / "rows.jsonl"}


def test_the_form_is_the_tasks_whatever_the_file_is_called(here):
    (here / "rows.txt").write_text("text\tlabel\n" + '"a\tn\nb"\ty\n' * 10)
    given = section(train="rows.txt")
    splits = listed(read(given, "tsv"))
    assert splits["train"][:2] == [{"text": '"a', "label": "n"}, {"text": 'b"', "label": "y"}]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_file_that_is_not_there_is_a_missing_resource(here, split):
    for name in ("train", "validation", "test"):
        if name != split:
            write(here / f"{name}.jsonl", ROWS)
    given = section(validation="validation.jsonl", test="test.jsonl")
    for call in (own_files, lambda given: find_rows(task(given), given)):
        with pytest.raises(MissingResourceError) as caught:
            call(given)
        assert str(caught.value).startswith(f"data.{split}: there is no file")
        assert f"{split}.jsonl" in str(caught.value)
        assert caught.value.exit_code == 3


def test_a_folder_is_no_file(here):
    (here / "train.jsonl").mkdir()
    with pytest.raises(MissingResourceError, match=r"data\.train: there is no file"):
        own_files(section())


@pytest.mark.parametrize("length", [300, 5_000])
def test_a_name_too_long_for_a_file_is_a_missing_resource(length):
    with pytest.raises(MissingResourceError, match=r"data\.train: there is no file"):
        own_files(section(train="x" * length))


def test_a_home_of_nobody_is_refused():
    with pytest.raises(UsageError, match="nobody-at-all"):
        own_files(section(train="~nobody-at-all/rows.jsonl"))


@pytest.mark.parametrize("label", ["Y", "y ", "yes", 1, True])
def test_a_label_that_is_none_is_refused_by_file_and_line(here, label):
    write(here / "train.jsonl", ROWS)
    write(here / "dev.jsonl", [*ROWS[:2], {"text": "a", "label": label}])
    message, hint = refused(section(validation="dev.jsonl"))
    assert message.startswith("dev.jsonl, line 3: the row has the target")
    assert message.endswith("expected one of n, y")
    assert "data.labels" in hint


@pytest.mark.parametrize(
    ("label", "meant"), [("Y", 'did you mean "y"?'), (" N", 'did you mean "n"?'), ("x", "mend the")]
)
def test_a_label_in_other_capitals_is_told_with_the_one_meant(here, label, meant):
    write(here / "train.jsonl", [*ROWS, {"text": "a", "label": label}])
    assert refused(section())[1].startswith(meant)


def test_a_label_of_a_table_is_refused_by_its_line(here):
    (here / "train.csv").write_text('text,label\n"a\nb",n\nc,x\n')
    message, _ = refused(section(train="train.csv"), "csv")
    assert message.startswith('train.csv, line 4: the row has the target "x"')


def test_an_empty_target_is_refused_by_file_and_line(here):
    write(here / "train.jsonl", [*ROWS, {"text": "a", "label": " "}])
    message, _ = refused(section(labels=None))
    assert message == "train.jsonl, line 21: the row has an empty target"


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_column_that_a_template_names_must_be_there(here, column):
    write(here / "train.jsonl", [*ROWS, {k: v for k, v in ROWS[0].items() if k != column}])
    message, _ = refused(section())
    assert message.startswith(f'train.jsonl, line 21: expected the column "{column}"')


def test_a_misspelt_column_is_named_beside_those_that_are_there(here):
    write(here / "train.jsonl", ROWS)
    message, hint = refused(section(source="text: {txt}"))
    assert message == (
        'train.jsonl has no column "txt", which data.source names; it has text, label'
    )
    assert hint == 'did you mean "text"?'


def test_a_null_is_no_value(here):
    write(here / "train.jsonl", [*ROWS, {"text": None, "label": "y"}])
    assert refused(section())[0] == 'train.jsonl, line 21: expected the column "text", got null'


def test_free_text_may_be_anything_but_empty(here):
    rows = [*ROWS, {"text": "a", "label": "some words"}, {"text": "a", "label": 3}]
    write(here / "train.jsonl", rows)
    given = section(labels=None)
    assert listed(read(given)) == {"train": rows}


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(here, content):
    write(here / "train.jsonl", ROWS)
    (here / "test.jsonl").write_text(content)
    assert refused(section(test="test.jsonl"))[0].startswith("test.jsonl holds no rows")


@pytest.mark.parametrize(
    ("train", "files", "lacking"),
    [
        (1, {}, "train"),
        (2, {}, "validation"),
        (19, {}, "validation"),
        (1, {"test": 3}, "train"),
        (5, {"validation": 1}, "validation"),
    ],
)
def test_too_few_rows_are_refused_by_the_split_that_would_have_none(here, train, files, lacking):
    write(here / "train.jsonl", ROWS[:train])
    for split, count in files.items():
        write(here / f"{split}.jsonl", ROWS[:count])
    message, hint = refused(section(**{split: f"{split}.jsonl" for split in files}))
    divided = "validation" if "validation" in files and lacking != "train" else "train"
    assert message == f"{divided}.jsonl: too few rows to divide; {lacking} would have none"
    given = "validation" if lacking == "train" else lacking  # then none are held out of train
    assert hint == f"give more rows, or a file of its own for {given}"


@pytest.mark.parametrize(
    ("train", "files"),
    [(20, {}), (2, {"test": 1}), (1, {"validation": 2}), (1, {"validation": 1, "test": 1})],
)
def test_just_enough_rows_are_taken(here, train, files):
    write(here / "train.jsonl", ROWS[:train])
    for split, count in files.items():
        write(here / f"{split}.jsonl", ROWS[:count])
    given = section(**{split: f"{split}.jsonl" for split in files})
    assert min(split_sizes(task(given), given).values()) == 1


@pytest.mark.parametrize("cell", [{"a": 1}, ["a"], 1e400, "\ud83d", "a\0b"])
@pytest.mark.parametrize("column", ["text", "label"])
def test_a_cell_that_is_no_text_or_number_is_refused_by_file_and_line(here, column, cell):
    write(here / "train.jsonl", [*ROWS[:5], {**ROWS[5], column: cell}, *ROWS[6:]])
    message, _ = refused(section(labels=None))
    assert message.startswith("train.jsonl, line 6: ")


def test_other_rows_that_are_wrong_are_told_with_the_first(here):
    wrong = [{"text": "x", "label": "Y"}, {"text": "x"}, {"text": "x", "label": ""}]
    write(here / "train.jsonl", [*ROWS, *wrong, *ROWS])
    message, hint = refused(section())
    assert message == (
        'train.jsonl, line 21: the row has the target "Y", expected one of n, y; '
        "2 more rows are wrong: lines 22, 23"
    )
    assert hint.startswith('did you mean "y"?')


def test_of_a_first_row_that_is_none_others_are_told_whatever_is_wrong_with_them(here):
    write(here / "rest.jsonl", [*ROWS, {"text": "x", "label": "maybe"}])
    (here / "train.jsonl").write_text("{\n" + (here / "rest.jsonl").read_text())
    message, _ = refused(section())
    assert message.startswith("train.jsonl, line 1: not JSON: ")
    assert message.endswith("; 1 more row is wrong: line 22")


def test_a_long_target_that_is_no_label_is_cut_in_the_message(here):
    write(here / "train.jsonl", [{"text": "a", "label": "x\n" * 100_000}])
    message, _ = refused(section())
    assert len(message) < 300


# Columns.


@pytest.mark.parametrize(
    ("form", "header", "message", "hint"),
    [
        ("csv", "Text,label", 'no column "text", which data.source names; it has Text, label',
         'did you mean "Text"?'),
        ("csv", "text,stars", 'no column "label", which data.target names; it has text, stars',
         "--set 'data.target={stars}'"),
        ("csv", '{"text":"a","label":"n"}', "line 1: expected a header, got a JSON object",
         "--set task=jsonl"),
        ("csv", "text;label", "it has text;label", "save it separated by commas"),
        ("csv", "text\tlabel", "it has", "--set task=tsv"),
        ("tsv", "text,label", "it has text,label", "--set task=csv"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there_is_told_with_those_that_are(here, form, header, message, hint):
    row = header.replace("text", "a").replace("Text", "a").replace("label", "n")
    (here / "train.jsonl").write_text(f"{header}\n{row}\n")
    said, told = refused(section(), form)
    assert message in said
    assert hint in told


def test_rows_with_an_empty_text_are_counted(here):
    write(here / "train.jsonl", [*ROWS, {"text": " ", "label": "n"}, {"text": "", "label": "y"}])
    write(here / "test.jsonl", ROWS)
    assert dict(read(section(test="test.jsonl")).blank) == {"train": 2, "test": 0}
