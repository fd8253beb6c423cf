"""STS-B: scores rounded to the nearest 0.2, and the rows a score may come from."""

from fractions import Fraction

import pytest

from compacter_cli.tasks import TASKS

STSB = TASKS["glue/stsb"]
ROW = {
    "idx": 0,
    "sentence1": "A man is playing a large flute.",
    "sentence2": "A man is playing a flute.",
    "label": 3.8,
}
TEXTS = [f"{whole}.{tenth}" for whole in range(5) for tenth in (0, 2, 4, 6, 8)] + ["5.0"]


def _target(score):
    return STSB.target({**ROW, "label": score})


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (STSB.source(ROW), STSB.target(ROW)) == docstring_example("stsb")


def test_targets_are_26_texts_with_one_decimal():
    assert STSB.targets == tuple(TEXTS)
    assert len(TEXTS) == 26


def test_every_score_becomes_the_nearest_target():
    for thousandth in range(5001):
        score = thousandth / 1000
        gaps = {text: abs(Fraction(text) - Fraction(score)) for text in TEXTS}
        nearest = min(gaps.values())
        found = gaps[_target(score)]  # a KeyError where the text is no target
        # Of two texts equally near in decimals, floats do not tell which was meant.
        assert found == nearest or thousandth % 200 == 100, score
        assert found - nearest < Fraction(1, 10**12), score


@pytest.mark.parametrize(
    ("score", "target"),
    [
        (0.0, "0.0"),
        (0.09, "0.0"),
        (0.11, "0.2"),
        (2.917, "3.0"),
        (3.25, "3.2"),
        (4.75, "4.8"),
        (4.89, "4.8"),
        (4.91, "5.0"),
        (5.0, "5.0"),
        (3.799999952316284, "3.8"),  # 3.8 as the float32 that TFDS stores
    ],
)
def test_rounding_by_hand(score, target):
    assert _target(score) == target


@pytest.mark.parametrize(("score", "target"), [(0.5, "0.4"), (1.5, "1.6"), (2.5, "2.4")])
def test_a_score_just_between_two_targets_goes_to_the_even_step(score, target):
    assert _target(score) == target


@pytest.mark.parametrize("text", ["3.8", "0.0", "5.0"])
def test_a_target_is_its_own_label(text):
    assert STSB.label_of(text) == text
    assert STSB.allows(ROW, text)


@pytest.mark.parametrize("text", ["", "3", "3.7", "3.80", "5.2", "-1", "nan", " 3.8"])
def test_any_other_text_is_no_label(text):
    assert STSB.label_of(text) is None
    assert not STSB.allows(ROW, text)


@pytest.mark.parametrize("score", [0.0, 0.2, 3.333, 5.0])
def test_scores_from_0_to_5_are_in_order(score):
    assert STSB.problem({**ROW, "label": score}) is None


@pytest.mark.parametrize("score", [-1.0, -0.001, 5.001, float("nan"), float("inf")])
def test_other_scores_are_a_problem_that_names_them(score):
    assert STSB.problem({**ROW, "label": score}) == f"has the score {score!r}, expected 0 to 5"


def test_metrics_sizes_and_prefix():
    assert STSB.metrics == ("pearson", "spearman")
    assert STSB.beside == ("raw_pearson", "raw_spearman")
    assert STSB.rows == {"train": 5749, "validation": 1500}
    assert STSB.split.sizes(STSB.rows) == {"train": 5749, "validation": 750, "test": 750}
    assert STSB.prefix == "stsb"
