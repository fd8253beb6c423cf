"""Entailment: its text and targets, and its labels by finite models."""

import random

from compacter_cli.tasks import TASKS
from compacter_cli.world import meaning

ENTAILMENT = TASKS["demo/entailment"]


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    row = {
        "premise": "No dog chased Anna.",
        "hypothesis": "Anna was chased by a terrier.",
        "label": 1,
        "idx": 0,
    }
    assert (ENTAILMENT.source(row), ENTAILMENT.target(row)) == docstring_example("entailment")


def test_targets_are_those_of_rte():
    assert ENTAILMENT.labels == TASKS["glue/rte"].labels
    assert ENTAILMENT.targets == ("0", "1")
    assert ENTAILMENT.label_of("0") == "entailment"
    assert ENTAILMENT.label_of("1") == "not_entailment"
    assert ENTAILMENT.metrics == ("accuracy",)
    assert ENTAILMENT.prefix == "entailment"


def test_labels_are_those_of_finite_models(demo_rows, models, monkeypatch):
    clauses, draw = {}, random.Random(0)
    inference = meaning.inference

    def recorded(*args, **more):
        pair = inference(*args, **more)
        clauses[tuple(clause.sentence() for clause in pair)] = pair
        return pair

    monkeypatch.setattr(meaning, "inference", recorded)
    again = ENTAILMENT.generate()
    assert again == demo_rows(ENTAILMENT)
    for row in [row for rows in again.values() for row in rows][::7]:
        premise, hypothesis = clauses[row["premise"], row["hypothesis"]]
        tries = range(150 if row["label"] else 10)
        found = (models.random_model(draw, premise, (hypothesis,)) for _ in tries)
        assert any(not model.holds(hypothesis) for model in found) == bool(row["label"]), row


def test_every_sentence_is_english(demo_rows, is_english):
    for rows in demo_rows(ENTAILMENT).values():
        assert all(is_english(row[field]) for row in rows[::5] for field in ENTAILMENT.fields)
