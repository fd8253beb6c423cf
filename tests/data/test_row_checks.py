"""Damaged rows of published tasks: the file, the line, what was expected and what came."""

import shutil

import pytest

from compacter_cli.data.original_files import opened_folder, rows_of
from compacter_cli.data.row_checks import malformed_line, problem_of
from compacter_cli.errors import CompacterError
from compacter_cli.tasks import TASKS

pytestmark = pytest.mark.usefixtures("tensorflow_apart")
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
        return rows_of(task, opened_folder(task, tmp_path))[0]

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


def test_right_counts_and_labels_are_no_problem(originals):
    for name, task in originals.tasks.items():
        for split, rows in originals.rows[name].items():
            assert problem_of(task, split, rows) is None


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_of_no_class_is_named_with_its_row(originals, label):
    task = originals.tasks["glue/rte"]
    texts = {"sentence1": "a", "sentence2": "b"}
    rows = [{"idx": 0, **texts, "label": 1}, {"idx": 1, **texts, "label": label}]
    said = f"row 1 has the label {label}, expected 0 to 1"
    assert problem_of(task, "train", rows).startswith(said)
    assert ("is the label column missing?" in problem_of(task, "train", rows)) == (label == -1)


def test_no_line_of_the_made_up_files_is_malformed(originals):
    for name, task in originals.tasks.items():
        folder = originals.folder / task.original.benchmark / task.original.folder
        for file in task.original.files.values():
            assert malformed_line(folder / file, task.original) is None, name


@pytest.mark.parametrize("line", ["[1]", "3", "null"])
def test_a_line_of_jsonl_that_is_no_object_is_named(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    said = malformed_line(path, TASKS["super_glue/cb"].original)
    assert said.startswith("line 2: expected a JSON object, got ")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    said = malformed_line(tmp_path / "train.tsv", TASKS["glue/rte"].original)
    assert "cannot read" in said


def test_a_field_that_is_no_text_is_named_with_its_row(originals):
    task = originals.tasks["glue/rte"]
    rows = [
        {"idx": 0, "sentence1": "a", "sentence2": "b", "label": 1},
        {"idx": 1, "sentence1": "a", "sentence2": None, "label": 0},
    ]
    assert problem_of(task, "train", rows) == "row 1 has no text in sentence2"


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("super_glue/boolq", '{"question": "q", "passage": "p", "idx": 0, "label": "false"}',
         "the label is 'false', expected false or true"),
        ("super_glue/copa", '{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", '
         '"idx": 0, "label": "0"}', "the label is '0', expected 0 or 1"),
        ("super_glue/cb", '{"premise": "p", "hypothesis": "h", "idx": 0, "label": "unknown"}',
         "the label is 'unknown', expected"),
        ("super_glue/multirc", '{"idx": 0, "passage": {"text": "t", "questions": [{"question": '
         '"q", "answers": [{"text": "a", "label": "1"}]}]}}',
         "an answer's label is '1', expected 0 or 1"),
        ("super_glue/multirc", '{"idx": 0, "passage": {"text": "t"}}', "not nested as it should"),
        ("super_glue/record", '{"idx": 0, "passage": {"text": "t", "entities": []}, '
         '"qas": [{"answers": []}]}', "not nested as it should be (KeyError: 'query')"),
    ],
)  # fmt: skip
def test_a_wrong_label_or_nesting_is_named_by_its_line(tmp_path, name, line, said):
    from compacter_cli.data.row_checks import wrong_label
    from compacter_cli.tasks import TASKS

    path = tmp_path / "train.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    assert wrong_label(path, TASKS[name].original).startswith(f"line 2: {said}")
    assert malformed_line(path, TASKS[name].original).startswith(f"line 2: {said}")


def test_a_number_in_the_place_of_a_label_is_refused_though_tfds_takes_it(tmp_path):
    from compacter_cli.data.row_checks import wrong_label
    from compacter_cli.tasks import TASKS

    path = tmp_path / "dev.tsv"
    path.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", encoding="utf-8")
    said = """line 2: the label is '1', expected "entailment" or "not_entailment\""""
    assert wrong_label(path, TASKS["glue/rte"].original) == said


def test_the_line_is_named_below_a_folder_with_a_comma_in_its_name(tmp_path):
    from compacter_cli.tasks import TASKS

    folder = tmp_path / "mine, yours"
    folder.mkdir()
    path = folder / "dev.tsv"
    path.write_bytes(b"index\tsentence1\tsentence2\tlabel\n0\tcaf\xe9\tb\tentailment\n")
    assert malformed_line(path, TASKS["glue/rte"].original).startswith("line 2: not UTF-8")
