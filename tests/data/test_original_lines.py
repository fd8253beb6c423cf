"""Lines of original files: the rows they make, and of damage the file, the line and what came."""

import json
import shutil

import pytest

from compacter_cli.data.original_files import existing_files, rows_in_folder
from compacter_cli.data.original_lines import listed_keys, split_rows
from compacter_cli.errors import CompacterError
from compacter_cli.tasks import TASKS

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def edited(originals, tmp_path):
    """Replaces text of one made-up original file; gives the rows or raises."""

    def edited(name, file, *edits, raw=None):
        task = originals.tasks[name]
        place = tmp_path / task.original.benchmark / task.original.folder
        shutil.copytree(originals.folder / place.relative_to(tmp_path), place)
        data = (place / file).read_bytes()
        for old, new in edits:
            assert old in data
            data = data.replace(old, new, 1)
        (place / file).write_bytes(raw(data) if raw else data)
        return rows_in_folder(task, tmp_path, existing_files(task, tmp_path)).splits

    return edited


def _refusal(edited, *given, **more):
    with pytest.raises(CompacterError) as caught:
        edited(*given, **more)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    return str(caught.value).partition(": ")[2]


# Tables


TABLES = [
    # task, file, old, new, what is said
    (
        *("glue/cola", "train.tsv", b"gj04\t0\t*\tWon we", b"gj04\t0\tWon we"),
        'CoLA/train.tsv, line 2: expected 4 columns (source, is_acceptable, original_mark, "',
    ),
    (
        *("glue/cola", "dev.tsv", b"gj04\t0", b"gj04\t2"),
        """CoLA/dev.tsv, line 1: the is_acceptable is '2', expected "0" or "1\"""",
    ),
    (
        *("glue/sst2", "train.tsv", b"sentence\t", b"text\t"),
        "SST-2/train.tsv, line 1: expected the column sentence in the header, got text, label",
    ),
    (
        *("glue/sst2", "dev.tsv", b"it works\t1", b"it works"),
        "SST-2/dev.tsv, line 2: expected 2 columns (sentence, label), got 1",
    ),
    (
        *("glue/qqp", "train.tsv", b"How come?\t1", b"How come?\tyes"),
        """QQP/train.tsv, line 2: the is_duplicate is 'yes', expected "0" or "1\"""",
    ),
    (
        *("glue/stsb", "train.tsv", b"2.50", b"much"),
        "STS-B/train.tsv, line 3: the score is 'much', expected a number",
    ),
    (
        *("glue/mnli", "dev_mismatched.tsv", b"contradiction\n", b"-\n"),
        "MNLI/dev_mismatched.tsv, line 2: the gold_label is '-', expected "
        '"entailment" or "neutral" or "contradiction"',
    ),
    (
        *("glue/mnli", "dev_matched.tsv", b"gold_label", b"gold"),
        "MNLI/dev_matched.tsv, line 1: expected the column gold_label in the header, got index",
    ),
    (
        *("glue/mrpc", "msr_paraphrase_train.txt", b"0\t21", b"3\t21"),
        """MRPC/msr_paraphrase_train.txt, line 3: the Quality is '3', expected "0" or "1\"""",
    ),
]


@pytest.mark.parametrize(("name", "file", "old", "new", "said"), TABLES)
def test_a_damaged_table_is_refused_by_file_and_line(edited, name, file, old, new, said):
    assert said.rstrip('"') in _refusal(edited, name, file, (old, new))


def test_a_score_out_of_range_is_refused_with_the_row(edited):
    said = _refusal(edited, "glue/stsb", "train.tsv", (b"2.50", b"5.50"))
    assert "STS-B/train.tsv" in said
    assert "row 1 has the score 5.5, expected 0 to 5" in said


def test_a_dropped_row_is_refused_with_both_counts(edited):
    said = _refusal(edited, "glue/qnli", "dev.tsv", (b"0\tWhere?\tIn Oslo.\tentailment\n", b""))
    assert "QNLI/dev.tsv: expected 1 rows, got 0" in said


@pytest.mark.parametrize("name", ["glue/sst2", "glue/cola", "glue/mrpc", "glue/mnli"])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(lambda data: MARK + data.removeprefix(MARK), id="bom"),
        pytest.param(lambda data: data.removeprefix(MARK), id="no bom"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="crlf"),
    ],
)
def test_marks_and_line_ends_of_a_table_do_not_matter(edited, originals, name, raw):
    file = originals.tasks[name].original.files["train"]
    assert edited(name, file, raw=raw) == originals.rows[name]


# JSONL


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(lambda data: MARK + data, id="bom"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda data: data.rstrip(b"\n"), id="no newline at the end"),
    ],
)
@pytest.mark.parametrize("name", ["super_glue/cb", "super_glue/multirc"])
def test_marks_and_line_ends_of_jsonl_do_not_matter(edited, originals, name, raw):
    assert edited(name, "train.jsonl", raw=raw) == originals.rows[name]


LINES = [
    (
        *("super_glue/cb", "train.jsonl", b'"entailment", "idx": 1}', b'"entailment", "idx": 1'),
        "CB/train.jsonl, line 2: not JSON: ",
    ),
    (
        *("super_glue/cb", "val.jsonl", b'"hypothesis"', b'"conclusion"'),
        "CB/val.jsonl, line 1: expected the key hypothesis, got premise, conclusion, label, idx",
    ),
    (
        *("super_glue/copa", "val.jsonl", b', "label": 1', b""),
        "COPA/val.jsonl, line 1: expected the key label, got premise, choice1, choice2, question",
    ),
    (
        *("super_glue/wic", "train.jsonl", b'"label": false', b'"label": null'),
        "WiC/train.jsonl, line 1: the label is None, expected false or true",
    ),
    (
        *("super_glue/record", "train.jsonl", b'"qas"', b'"questions"'),
        "ReCoRD/train.jsonl, line 1: expected the key qas, got source, idx, passage, questions",
    ),
    (
        *("super_glue/multirc", "train.jsonl", b'"passage"', b'"text"'),
        "MultiRC/train.jsonl, line 1: expected the key passage, got idx, version, text",
    ),
    (
        *("super_glue/wic", "val.jsonl", b"I run.", b"I \xe9run."),
        "WiC/val.jsonl, line 1: not UTF-8",
    ),
]


@pytest.mark.parametrize(("name", "file", "old", "new", "said"), LINES)
def test_damaged_jsonl_is_refused_by_file_and_line(edited, name, file, old, new, said):
    assert said in _refusal(edited, name, file, (old, new))


@pytest.mark.parametrize("name", ["super_glue/record", "super_glue/multirc", "super_glue/cb"])
def test_the_unlabelled_test_file_in_the_place_of_another_is_refused(edited, originals, name):
    task = originals.tasks[name]
    test = originals.folder / "super_glue" / task.original.folder / "test.jsonl"
    said = _refusal(edited, name, "val.jsonl", raw=lambda _: test.read_bytes())
    assert f"{task.original.folder}/val.jsonl" in said
    assert "label" in said or "answer" in said


# Alone


def _said(name, *lines):
    """What is said of a train file of these lines, without the file's name."""
    data = "".join(f"{line}\n" for line in lines).encode()
    with pytest.raises(CompacterError) as caught:
        split_rows(TASKS[name], "train", data, "file")
    assert str(caught.value).startswith("file, ")
    return str(caught.value).removeprefix("file, ")


@pytest.mark.parametrize("line", ["[1]", "3", "null"])
def test_a_line_of_jsonl_that_is_no_object_is_named(line):
    assert _said("super_glue/cb", "", line).startswith("line 2: expected a JSON object, got ")


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("super_glue/boolq", '{"question": "q", "passage": "p", "idx": 0, "label": "false"}',
         "the label is 'false', expected false or true"),
        ("super_glue/boolq", '{"question": "q", "passage": 3, "idx": 0, "label": false}',
         "the passage is 3, expected a text"),
        ("super_glue/boolq", '{"question": "q", "passage": "p", "idx": "0", "label": false}',
         "the idx is '0', expected a whole number"),
        ("super_glue/copa", '{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", '
         '"idx": 0, "label": "0"}', "the label is '0', expected 0 or 1"),
        ("super_glue/copa", '{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", '
         '"idx": 0, "label": true}', "the label is True, expected 0 or 1"),
        ("super_glue/cb", '{"premise": "p", "hypothesis": "h", "idx": 0, "label": "unknown"}',
         "the label is 'unknown', expected"),
        ("super_glue/wic", '{"word": "w", "sentence1": "a", "sentence2": "b", "idx": 0, '
         '"label": true}', "expected the key start1, got word, sentence1, sentence2, idx, label"),
        ("super_glue/multirc", '{"idx": 0, "passage": {"text": "t", "questions": [{"question": '
         '"q", "answers": [{"text": "a", "label": "1"}]}]}}',
         "an answer's label is '1', expected 0 or 1"),
        ("super_glue/multirc", '{"idx": 0, "passage": {"text": "t"}}', "not nested as it should"),
        ("super_glue/record", '{"idx": 0, "passage": {"text": "t", "entities": []}, '
         '"qas": [{"answers": []}]}', "not nested as it should be (KeyError: 'query')"),
        ("super_glue/record", '{"idx": 0, "passage": {"text": "t", "entities": [{"start": "0", '
         '"end": 1}]}, "qas": []}', "the start is '0', expected a whole number"),
        ("super_glue/record", '{"idx": 0, "passage": {"text": "t", "entities": []}, '
         '"qas": [{"query": "q", "idx": 7, "answers": []}]}',
         "row {'passage': 0, 'query': 7} has no answer; is this the unlabelled test file?"),
    ],
)  # fmt: skip
def test_a_wrong_value_or_nesting_is_named_by_its_line(name, line, said):
    assert _said(name, "", line).startswith(f"line 2: {said}")


def test_a_number_in_the_place_of_a_label_is_refused_though_tfds_takes_it():
    said = """line 2: the label is '1', expected "entailment" or "not_entailment\""""
    assert _said("glue/rte", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1") == said


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("<!DOCTYPE html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1", "a pointer of git-lfs"),
        ("", "an empty file"),
    ],
)
def test_a_table_that_is_something_else_is_called_that(line, got):
    said = f"line 1: expected the column sentence1 in the header, got {got}"
    assert _said("glue/rte", *[line] * 3) == said


def test_of_several_faults_the_first_is_named():
    head = "index\tsentence1\tsentence2\tlabel"
    said = _said("glue/rte", head, "0\ta\tb\tentailment", "1\ta\tb\tmaybe", "2")
    assert said == """line 3: the label is 'maybe', expected "entailment" or "not_entailment\""""


def test_a_short_line_is_no_row_even_where_the_number_of_rows_is_right(originals):
    """TFDS drops it without a word."""
    task = originals.tasks["glue/sst2"]
    data = b"sentence\tlabel\ngood\t1\nbad\nbad\t0\n"
    with pytest.raises(CompacterError) as caught:
        split_rows(task, "train", data, "file")
    assert str(caught.value) == "file, line 3: expected 2 columns (sentence, label), got 1"


@pytest.mark.parametrize("blank", [b"", b" ", b"\r", b"\t"])
def test_lines_without_text_are_no_rows_and_have_no_number(originals, blank):
    task = originals.tasks["glue/sst2"]
    data = b"\n".join([b"sentence\tlabel", blank, b"good\t1", blank, blank, b"bad\t0", blank])
    rows = split_rows(task, "train", data, "file")
    assert [(row["idx"], row["sentence"]) for row in rows] == [(0, "good"), (1, "bad")]


def test_a_score_is_kept_as_the_float32_that_tfds_keeps(originals):
    np = pytest.importorskip("numpy")
    task = originals.tasks["glue/stsb"]
    scores = ["3.8", "0.333", "5.000"]
    data = "".join(f"a\tb\t{score}\n" for score in scores)
    rows = split_rows(task, "train", f"sentence1\tsentence2\tscore\n{data}".encode(), "file")
    assert [row["label"] for row in rows] == [float(np.float32(score)) for score in scores]


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "1e39", "-0.1"])
def test_a_score_beyond_any_is_refused_by_its_line(score):
    said = _said("glue/stsb", "sentence1\tsentence2\tscore", f"a\tb\t{score}")
    assert said.startswith("line 2: row 0 has the score ")


def test_the_lines_that_validate_are_listed_by_their_keys():
    data = MARK + b"1\t2\r\n\n3\t4\tmore\n"
    assert listed_keys(("a", "b"), data, "ids") == {("1", "2"), ("3", "4")}
    with pytest.raises(CompacterError) as caught:
        listed_keys(("a", "b"), b"1\t2\n<html>\n", "ids")
    assert str(caught.value) == "ids, line 2: expected 2 columns (a, b), got 1"


def test_a_damaged_list_of_the_lines_that_validate_is_named(edited):
    said = _refusal(edited, "glue/mrpc", "data_mrpc_dev_ids.tsv", (b"21\t22", b"21 22"))
    assert said == "MRPC/data_mrpc_dev_ids.tsv, line 1: expected 2 columns (#1 ID, #2 ID), got 1"


def test_the_line_is_named_below_a_folder_with_a_comma_in_its_name(originals, tmp_path):
    place = tmp_path / "mine, yours" / "glue" / "RTE"
    shutil.copytree(originals.folder / "glue" / "RTE", place)
    (place / "dev.tsv").write_bytes(b"index\tsentence1\tsentence2\tlabel\n0\tcaf\xe9\tb\tc\n")
    task, folder = originals.tasks["glue/rte"], tmp_path / "mine, yours"
    with pytest.raises(CompacterError, match=r"mine, yours: RTE/dev\.tsv, line 2: not UTF-8"):
        rows_in_folder(task, folder, existing_files(task, folder))


def test_a_file_that_vanished_is_said_so(originals, tmp_path):
    task = originals.tasks["glue/rte"]
    files = {name: tmp_path / name for name in task.original.needed}
    with pytest.raises(CompacterError, match="cannot read"):
        rows_in_folder(task, tmp_path, files)


# Hostile lines


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (b'"A dog \\ud83d."', "half of a surrogate pair"),
        (b'"A dog\\u0000."', "holds a NUL character"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5_000, "not JSON"),
        (b"[" * 500 + b"]" * 500, "expected a text"),
        (b'{"' + b"x" * 100_000 + b'": "\\n"}', "expected a text"),
    ],
)
def test_a_hostile_line_of_json_is_refused_by_its_number(edited, new, said):
    def hostile(data):
        first, rest = data.split(b"\n", 1)
        line = json.loads(first)
        line["premise"] = "HERE"
        return json.dumps(line).encode().replace(b'"HERE"', new) + b"\n" + rest

    message = _refusal(edited, "super_glue/cb", "train.jsonl", raw=hostile)
    assert message.startswith("CB/train.jsonl, line 1: ")
    assert said in message
    assert len(message) < 500


def test_a_line_of_50_mb_is_refused_by_its_number(edited):
    message = _refusal(edited, "glue/rte", "train.tsv", raw=lambda data: data + b"x" * 50_000_000)
    assert "longer than 8,388,608 bytes" in message
