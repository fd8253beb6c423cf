"""What is let through of files that may be anybody's."""

import pytest

from compacter_cli.reports.checked import checked_index, checked_metrics_line, checked_result

SCORES = {
    "metrics": {"accuracy": 60}, "majority": {"accuracy": 50.0}, "mean": 60, "count": 9,
    "invalid": 0,
}  # fmt: skip
RESULT = {
    "task": "glue/rte", "method": "full", "preset": "p", "seed": 1, "trained_parameters": 1,
    "trained_percent": 1.0, "backbone_parameters": 1, "epochs": 1, "best_epoch": 1,
    "validation": SCORES, "test": SCORES, "adapter_bytes": 1, "training_seconds": 1.5,
    "peak_memory_bytes": 1,
}  # fmt: skip
UPDATE = {"kind": "update", "step": 1, "loss": None, "learning_rate": 0.0, "gradient_norm": 1.0}


def test_a_result_keeps_what_is_shown_and_no_more():
    found = checked_result({**RESULT, "measured": None, "later": 3})
    assert found == {**RESULT, "measured": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": True}, "seed: "),
        ({"test": {**SCORES, "metrics": {}}}, "test.metrics: "),
        ({"test": {**SCORES, "mean": float("nan")}}, "test.mean: "),
        (
            {"test": {**SCORES, "metrics": {"accuracy": 150.0}}},
            "accuracy: expected a score of -100 to 100, got 150",
        ),
        ({"before": {**SCORES, "mean": -101}}, "before.mean: expected a score of -100"),
        ({"paper": ["x"]}, "paper.0: "),
        ({"trained_percent": 1e300}, "trained_percent: "),
    ],
)
def test_a_result_of_another_kind_is_refused_by_the_key(change, said):
    with pytest.raises(ValueError, match=said):
        checked_result({**RESULT, **change})


def test_a_correlation_may_be_below_zero_and_rounding_above_100():
    scores = {**SCORES, "metrics": {"matthews": -100.0, "pearson": 100.00000000000003}}
    assert checked_result({**RESULT, "test": scores})["test"] == scores


@pytest.mark.parametrize(
    "value", [None, [], {}, {**UPDATE, "kind": "x"}, {**UPDATE, "loss": 1e300}]
)
def test_a_line_that_is_neither_update_nor_epoch_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        checked_metrics_line(value)


def test_a_line_of_an_update_or_an_epoch_is_taken():
    assert checked_metrics_line(UPDATE)["loss"] is None
    epoch = {"kind": "epoch", "number": 1, "step": 9, "loss": 1, "validation": SCORES, "best": True}
    assert checked_metrics_line(epoch)["validation"] == {"metrics": {"accuracy": 60}, "mean": 60}


def test_whole_lines_of_an_index_are_as_they_were(make_line):
    lines = [make_line("glue/rte", "full", {"accuracy": 60.0}), make_line("glue/rte", "full")]
    assert checked_index(lines) == (lines, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"test": {"accuracy": "x"}}, {"test": {"accuracy": 1e300}}, {"training_seconds": None},
        {"test": {"accuracy": 150.0}}, {"test": {"accuracy": float("nan")}},
        {"validation_mean": -101.0}, {"majority": {"accuracy": 100.1}},
    ],
)  # fmt: skip
def test_a_damaged_result_is_a_failure_of_its_run(make_line, change):
    line = {**make_line("glue/rte", "full", {"accuracy": 60.0}), **change}
    ((found,), lost) = checked_index([line])
    (key,) = change
    assert (found["state"], lost) == ("failed", 0)
    assert found["error"].startswith(f"its result is damaged: {key}: ")


def test_a_finished_run_without_scores_is_a_failure(make_line):
    ((found,), _) = checked_index([make_line("glue/rte", "full", state="finished")])
    assert found["error"] == "its result is damaged: test: it is missing"


@pytest.mark.parametrize("change", [{"task": 3}, {"seed": "x"}, {"setting": []}])
def test_a_line_that_does_not_say_which_run_it_is_of_is_left_out(make_line, change):
    assert checked_index([{**make_line("glue/rte", "full"), **change}]) == ([], 1)
