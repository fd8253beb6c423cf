"""Sentiment: its text and targets, and the opinion of every row heard by rules of its own."""

from compacter_cli.tasks import TASKS

SENTIMENT = TASKS["demo/sentiment"]


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example, sounds_positive):
    text, target = docstring_example("sentiment")
    sentence = text.removeprefix("sentence: ")
    assert SENTIMENT.source({"sentence": sentence, "label": 1, "idx": 0}) == text
    assert SENTIMENT.target({"label": 1}) == target == "1"
    assert sounds_positive(sentence)


def test_targets_sizes_and_the_prefix():
    assert SENTIMENT.targets == ("0", "1")
    assert SENTIMENT.label_of("0") == "negative"
    assert SENTIMENT.label_of("1") == "positive"
    assert SENTIMENT.metrics == ("accuracy",)
    assert SENTIMENT.prefix == "sentiment"


def test_every_row_is_labelled_as_it_sounds(demo_rows, sounds_positive):
    for rows in demo_rows(SENTIMENT).values():
        for row in rows:
            assert sounds_positive(row["sentence"]) == bool(row["label"]), row
