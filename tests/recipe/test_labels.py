"""Labels that a vocabulary cannot write, or cannot tell apart."""

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.recipe.labels import check_labels, label_problems, unwritable
from compacter_cli.t5.preset_places import find_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    """That of the demo backbone."""
    return find_vocabulary("demo/t5")


def problems(labels, vocabulary, length=16):
    return {p.key: p for p in label_problems(labels, vocabulary, length, "data.labels")}


@pytest.mark.parametrize("label", ["0", "yes", "not entailment", "2.6", "a_b", "Yes!"])
def test_a_label_of_the_vocabularys_words_can_be_written(vocabulary, label):
    assert problems([label, "1"], vocabulary) == {}
    check_labels([label, "1"], vocabulary)


@pytest.mark.parametrize(
    ("label", "back"),
    [("☃", "⁇"), ("no ☃", "no"), ("yes ", "yes"), (" yes", "yes"), ("a  b", "a b"), ("ﬁ", "fi"),
     ("\u200b", "")],
)  # fmt: skip
def test_a_label_that_does_not_come_back_is_a_problem(vocabulary, label, back):
    problem = problems([label, "1"], vocabulary)["data.labels"]
    assert "cannot write" in problem.message
    assert "it comes back as" in problem.message
    assert back in problem.message
    with pytest.raises(CompacterError, match="cannot write the label"):
        check_labels([label, "1"], vocabulary)


def test_two_labels_of_the_same_tokens_are_a_problem(vocabulary):
    # Two snowmen and three are one unknown token: every answer would be right, or none.
    assert vocabulary.encode(["☃☃"]) == vocabulary.encode(["☃☃☃"])
    message = problems(["☃☃", "☃☃☃"], vocabulary)["data.labels"].message
    assert '"☃☃" ' in message
    assert '"☃☃☃" ' in message


def test_of_many_labels_a_few_are_named(vocabulary):
    message = problems([f"☃ {number}" for number in range(100)], vocabulary)["data.labels"].message
    assert message.endswith(" and 95 more")
    assert len(message) < 400


def test_a_label_may_be_both_unwritable_and_too_long(vocabulary):
    assert set(problems(["☃ 1 2 3 4 5 6 7 8 9", "1"], vocabulary, 3)) == {
        "data.labels",
        "data.target_length",
    }


def test_free_text_has_no_labels_to_check(vocabulary):
    check_labels((), vocabulary)
    assert unwritable(["yes", "☃", "yes"], vocabulary) == {"☃": " ⁇ "}
    assert unwritable([], vocabulary) == {}
