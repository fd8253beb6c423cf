"""ReCoRD: free-text answers, highlight marks, one training example for every answer."""

import copy
import random

import pytest

from compacter_cli.data.dataset import with_prefix
from compacter_cli.tasks import TASKS

RECORD = TASKS["super_glue/record"]
ROW = {
    "idx": {"passage": 0, "query": 0},
    "passage": "Ada came home to Oslo\n@highlight\nThe race was hers.",
    "query": "@placeholder won again.",
    "entities": ["Ada", "Oslo"],
    "answers": ["Ada"],
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (RECORD.source(ROW), RECORD.target(ROW)) == docstring_example("record")


@pytest.mark.parametrize(
    ("passage", "text"),
    [
        ("One\n@highlight\nTwo", "One. Two"),
        ("One.\n@highlight\nTwo", "One. Two"),
        ("One?\n@highlight\nTwo!\n@highlight\nThree", "One? Two! Three"),
        ("'One'\n@highlight\n\"Two\"\n@highlight\nThree", "'One' \"Two\" Three"),
        ("One,\n@highlight\nTwo", "One,. Two"),
        ("One\nTwo @highlight", "One\nTwo @highlight"),
        ("", ""),
    ],
)
def test_highlight_marks_become_full_stops(passage, text):
    source = RECORD.source({**ROW, "passage": passage})
    assert source == f"record query: @placeholder won again. entities: Ada, Oslo passage: {text}"


def test_the_prefix_stands_before_a_text_that_names_the_task_itself():
    text = with_prefix(RECORD.source(ROW), RECORD.prefix)
    assert text.startswith("superglue-record record query: @placeholder won again. entities: Ada")


def test_a_query_trains_once_for_each_answer():
    one = {**ROW, "answers": ["Ada", "Ada Lovelace", "she"]}
    two = {**ROW, "idx": {"passage": 0, "query": 1}, "answers": ["Oslo"]}
    before = copy.deepcopy([one, two])
    examples = RECORD.training_rows([one, two])
    assert [RECORD.target(row) for row in examples] == ["Ada", "Ada Lovelace", "she", "Oslo"]
    sources = [RECORD.source(row) for row in examples]
    assert sources == [RECORD.source(one)] * 3 + [RECORD.source(two)]
    assert [one, two] == before


def test_a_query_is_evaluated_against_all_its_answers():
    row = {**ROW, "answers": ["Ada", "Ada Lovelace"]}
    assert RECORD.references(row) == ("Ada", "Ada Lovelace")
    assert RECORD.references(ROW) == ("Ada",)


def test_rows_are_ordered_by_passage_then_query():
    rows = [{"idx": {"passage": p, "query": q}} for p in (0, 2, 10) for q in (1, 3, 20)]
    shuffled = random.Random(0).sample(rows, len(rows))
    assert sorted(shuffled, key=RECORD.number) == rows


@pytest.mark.parametrize("text", ["Ada", "Oslo", "ada", "the Oslo.", " OSLO "])
def test_an_entity_of_the_passage_is_allowed_however_it_is_written(text):
    assert RECORD.allows(ROW, text)


@pytest.mark.parametrize("text", ["", "Bergen", "Ada Oslo", "Ada, Oslo", "the", "0"])
def test_any_other_text_is_not_allowed(text):
    assert not RECORD.allows(ROW, text)


def test_any_text_is_its_own_label():
    assert RECORD.targets == ()
    assert RECORD.label_of("Ada") == "Ada"


def test_a_row_without_answers_is_a_problem():
    assert RECORD.problem(ROW) is None
    assert RECORD.problem({**ROW, "answers": []}) == (
        "has no answer; is this the unlabelled test file?"
    )


def test_metrics_and_sizes():
    assert RECORD.metrics == ("token_f1", "exact_match")
    assert RECORD.rows == {"train": 100730, "validation": 10000}
    assert RECORD.split.sizes(RECORD.rows) == {"train": 99730, "validation": 1000, "test": 10000}
