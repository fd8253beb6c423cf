"""MultiRC: text without markup, rows ordered and grouped by their three-part number."""

import random

import pytest

from compacter_cli.tasks import TASKS

MULTIRC = TASKS["super_glue/multirc"]
ROW = {
    "idx": {"paragraph": 0, "question": 0, "answer": 0},
    "paragraph": "<b>Sent 1: </b>The cat slept.<br><b>Sent 2: </b>The dog ate the pie.",
    "question": "Who ate it?",
    "answer": "The dog",
    "label": 1,
}


def _row(paragraph, question, answer):
    return {**ROW, "idx": {"paragraph": paragraph, "question": question, "answer": answer}}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (MULTIRC.source(ROW), MULTIRC.target(ROW)) == docstring_example("multirc")


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<b>Sent 1: </b>One.<br><b>Sent 2: </b>Two.", "Sent 1: One. Sent 2: Two."),
        ("a<br>b<br>", "a b "),
        ("<b></b>", ""),
        ("3 < 4 and b > a", "3 < 4 and b > a"),
        ("plain", "plain"),
    ],
)
def test_markup_is_removed_from_all_three_fields(markup, text):
    row = {**ROW, "paragraph": markup, "question": markup, "answer": markup}
    assert MULTIRC.source(row) == f"question: {text} answer: {text} paragraph: {text}"


def test_the_row_itself_keeps_its_markup():
    before = dict(ROW)
    MULTIRC.source(ROW)
    assert before == ROW


def test_rows_are_ordered_by_paragraph_then_question_then_answer():
    rows = [_row(p, q, a) for p in (0, 2, 10) for q in (0, 1, 11) for a in (0, 3, 12)]
    shuffled = random.Random(0).sample(rows, len(rows))
    assert shuffled != rows
    assert sorted(shuffled, key=MULTIRC.number) == rows


def test_rows_of_a_question_belong_together():
    assert MULTIRC.group(_row(1, 2, 0)) == MULTIRC.group(_row(1, 2, 7))
    groups = {MULTIRC.group(_row(p, q, 0)) for p in range(3) for q in range(3)}
    assert len(groups) == 9


def test_targets_metrics_sizes_and_prefix():
    assert MULTIRC.targets == ("0", "1")
    assert [MULTIRC.label_of(target) for target in "01"] == ["False", "True"]
    assert MULTIRC.metrics == ("f1", "question_em")
    assert MULTIRC.rows == {"train": 27243, "validation": 4848}
    assert MULTIRC.split.sizes(MULTIRC.rows) == {"train": 27243, "validation": 2424, "test": 2424}
    assert MULTIRC.prefix == "superglue-multirc"
