"""COPA: two choices; the question left out as in the paper, or asked."""

from compacter_cli.tasks import TASKS

COPA = TASKS["super_glue/copa"]
ROW = {
    "idx": 0,
    "premise": "My body cast a shadow over the grass.",
    "choice1": "The sun was rising.",
    "choice2": "The grass was cut.",
    "question": "cause",
    "label": 0,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (COPA.source(ROW), COPA.target(ROW)) == docstring_example("copa")


def test_text_by_hand():
    row = {
        "idx": 1,
        "premise": "a",
        "choice1": "b",
        "choice2": "c",
        "question": "effect",
        "label": 1,
    }
    assert COPA.source(row) == "premise: a choice1: b choice2: c"
    assert COPA.target(row) == "1"


def test_targets_are_label_indices():
    assert COPA.targets == ("0", "1")
    assert [COPA.label_of(target) for target in COPA.targets] == ["choice1", "choice2"]


def test_metrics_sizes_and_prefix():
    assert COPA.metrics == ("accuracy",)
    assert COPA.rows == {"train": 400, "validation": 100}
    assert COPA.split.sizes(COPA.rows) == {"train": 400, "validation": 50, "test": 50}
    assert COPA.prefix == "superglue-copa"


def test_the_question_is_asked_by_a_task_of_its_own():
    asking = TASKS["super_glue/copa_question"]
    text = (
        "premise: My body cast a shadow over the grass. question: cause "
        "choice1: The sun was rising. choice2: The grass was cut."
    )
    assert asking.source(ROW) == text
    assert asking.source({**ROW, "question": "effect"}) == text.replace("cause", "effect")
    assert asking.target(ROW) == COPA.target(ROW)
    assert asking.prefix == "superglue-copa_question"
    assert asking.paper is None  # the paper reports COPA without its question alone
    same = ("labels", "metrics", "rows", "split", "original")
    assert all(getattr(asking, name) == getattr(COPA, name) for name in same)
