"""What may surprise in rows: every figure counted by hand."""

from types import SimpleNamespace

import pytest

from compacter_cli.data.survey import Survey, survey_of_files
from compacter_cli.recipe.sections import OwnDataSection
from compacter_cli.t5.preset_places import find_vocabulary
from compacter_cli.tasks.own import OwnTask

SECTION = OwnDataSection(
    train="train.jsonl", source="{text}", target="{label}", labels=["0", "1", "2"],
    source_length=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary():
    return find_vocabulary("random/tiny")


def rows(*pairs):
    return [{"text": text, "label": label} for text, label in pairs]


def surveyed(vocabulary, blank=None, **splits):
    task = OwnTask.of("jsonl", SECTION)
    return survey_of_files(task, splits, vocabulary, SECTION, blank or {})


def test_labels_doubles_and_cuts_are_counted(vocabulary):
    train = rows(("iron", "0"), ("zinc", "0"), ("iron", "1"), ("iron zinc copper nickel", "0"))
    test = rows(("zinc", "0"), ("apple", "1"), ("zinc", "1"))
    found = surveyed(vocabulary, {"train": 1}, train=train, test=test)
    assert found.examples == {"train": 4, "test": 3}
    assert found.labels == {"0": 3, "1": 1, "2": 0}
    assert found.unscored == {"test": ["2"]}
    assert found.repeated == 1  # iron, the second time
    assert found.shared == {"test": 2}
    assert found.cut == {"train": 1, "test": 0}
    assert found.blank == {"train": 1}


def test_means_are_of_the_training_examples_as_they_are_read(vocabulary):
    train = rows(("iron", "0"), ("iron zinc copper nickel", "0"))
    lengths = [min(4, len(ids) + 1) for ids in vocabulary.encode([row["text"] for row in train])]
    found = surveyed(vocabulary, train=train)
    assert found.mean_source == sum(lengths) / 2
    assert found.mean_target == len(vocabulary.encode(["0"])[0]) + 1


def test_free_text_has_no_labels(vocabulary):
    section = SECTION.model_copy(update={"labels": None})
    task = OwnTask.of("jsonl", section)
    splits = {"train": rows(("iron", "zinc"))}
    assert survey_of_files(task, splits, vocabulary, section, {}).labels == {}


def test_no_more_than_the_first_rows_are_looked_at(vocabulary, monkeypatch):
    monkeypatch.setattr("compacter_cli.data.survey.MOST", 2)
    found = surveyed(vocabulary, train=rows(*[("iron", "0")] * 5))
    assert (found.examples, found.repeated) == ({"train": 2}, 1)


def survey(**given):
    return Survey(**{"examples": {}, "labels": {}, "repeated": 0, "shared": {}, "cut": {}, **given})


def notes(found, whole_file=False, **given):
    from compacter_cli.training.data_words import survey_notes

    data = SECTION.model_copy(update={"source_length": 128, **given})
    return survey_notes(found, SimpleNamespace(data=data), whole_file)


def test_nothing_is_said_of_rows_that_are_as_they_should_be():
    even = survey(labels={"a": 60, "b": 40}, shared={"test": 0}, cut={"train": 0}, blank={"x": 0})
    assert notes(even) == []


def test_what_may_surprise_is_said():
    found = survey(
        examples={"train": 1_000, "test": 50}, labels={"a": 900, "b": 100, "c": 0}, repeated=7,
        shared={"validation": 0, "test": 5}, cut={"train": 1_200, "test": 3}, blank={"train": 2},
    )  # fmt: skip
    said = "\n".join(notes(found))
    for text in (
        "no training row has the label c",
        '90 % of the training rows are "a", so accuracy alone says little',
        "5 of 50 test sources are in train, too",
        "7 of 1,000 training sources repeated",
        "2 rows of train with an empty text",
        "cut at 128 tokens, so what follows is not read: 1,200 of train, 3 of test",
    ):
        assert text in said
    assert "divided" not in said
    hint = "--set 'data.group={text}' keeps equal ones on one side"
    assert f"they show what it remembers; {hint}" in said
    assert f"divided between the splits: {hint}" in "\n".join(notes(found, whole_file=True))
    assert "accuracy alone" not in "\n".join(notes(found, metrics=["accuracy", "macro_f1"]))


@pytest.mark.parametrize(
    "given",
    [{"group": "{text}"}, {"validation": "v.jsonl"}, {"validation": "v.jsonl", "test": "t.jsonl"}],
)
@pytest.mark.parametrize("whole_file", [True, False])
def test_doubles_are_not_to_be_kept_together_where_they_are_or_train_is_not_divided(
    given, whole_file
):
    found = survey(examples={"train": 10, "test": 5}, repeated=2, shared={"test": 1})
    said = "\n".join(notes(found, whole_file, **given))
    assert "2 of 10 training sources repeated" in said
    assert "data.group" not in said


def test_of_a_test_file_nothing_is_kept_out_of_train():
    examples = {"train": 10, "validation": 5, "test": 5}
    found = survey(examples=examples, shared={"validation": 1, "test": 1})
    held_out, given = notes(found, test="t.jsonl")
    assert held_out.startswith("1 of 5 validation")
    assert given.startswith("1 of 5 test")
    assert ["data.group" in said for said in (held_out, given)] == [True, False]


def test_labels_that_macro_f1_cannot_see_are_told():
    found = survey(
        labels={"a": 5, "b": 5, "c": 5, "d": 5}, unscored={"validation": [], "test": ["c"]}
    )
    assert notes(found) == []
    assert notes(found, metrics=["macro_f1"]) == [  # three of four labels
        "no test row has the label c: macro F1 counts it as 0, and comes to 75 at most"
    ]


def test_splits_too_small_to_score_by_say_what_a_row_is():
    from compacter_cli.training.data_words import size_notes

    assert size_notes({"train": 3, "validation": 50, "test": 16}) == [
        "test has 16 rows: one of them is 6.25 points of a score"
    ]
