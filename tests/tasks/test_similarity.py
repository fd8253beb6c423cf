"""Similarity: its text and targets, and its scores by brute force over the lexicon's table."""

from collections import Counter

import pytest

from compacter_cli.tasks import TASKS

SIMILARITY = TASKS["demo/similarity"]
ROW = {
    "sentence1": "A terrier chased two moths.",
    "sentence2": "Some ants were pursued by a dog.",
    "label": 3.5,
    "idx": 0,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example, alike):
    assert (SIMILARITY.source(ROW), SIMILARITY.target(ROW)) == docstring_example("similarity")
    assert alike.score(ROW["sentence1"], ROW["sentence2"]) == 3.5


def test_targets_are_the_eleven_scores():
    scores = ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5", "5.0"]
    assert SIMILARITY.targets == tuple(scores)
    assert [SIMILARITY.target({"label": step / 2}) for step in range(11)] == scores
    assert [SIMILARITY.label_of(text) for text in scores] == scores
    assert SIMILARITY.references(ROW) == ("3.5",)
    assert SIMILARITY.metrics == ("pearson", "spearman")
    assert SIMILARITY.prefix == "similarity"


@pytest.mark.parametrize("text", ["", "5", "5.5", "0.2", "3.50", " 3.5", "-0.5", "three"])
def test_any_other_text_is_no_score(text):
    assert SIMILARITY.label_of(text) is None
    assert not SIMILARITY.allows(ROW, text)


def test_a_score_out_of_range_or_between_steps_is_a_problem_that_names_it():
    assert all(SIMILARITY.problem({"label": step / 2}) is None for step in range(11))
    for label in (-0.5, 5.5, 0.3, -1):
        assert repr(label) in SIMILARITY.problem({"label": label})


def test_every_score_is_that_of_brute_force(demo_rows, alike, is_english):
    for rows in demo_rows(SIMILARITY).values():
        for row in rows:
            first, second = row["sentence1"], row["sentence2"]
            assert isinstance(row["label"], float)
            assert row["label"] == alike.score(first, second) == alike.score(second, first), row
        assert all(is_english(row[field]) for row in rows[::5] for field in SIMILARITY.fields)


def test_every_score_occurs_and_none_is_most_of_them(demo_rows):
    for rows in demo_rows(SIMILARITY).values():
        counts = Counter(SIMILARITY.target(row) for row in rows)
        assert set(counts) == set(SIMILARITY.targets)
        assert max(counts.values()) < 0.25 * len(rows)
