"""What a child measures, on a tiny T5 in this process."""

import pytest
import torch

from compacter_cli.errors import UsageError
from compacter_cli.profiling import measure
from compacter_cli.profiling.job import Job
from compacter_cli.profiling.plan import recipes_of

TABLES = {
    "task": "demo/smoke",
    "backbone": {"preset": "random/tiny"},
    "train": {"batch_size": 4},
    "data": {"source_length": 12},
}


@pytest.fixture
def made(keras):
    """Makes `(stepper, recipe, job)` of a method on `random/tiny`."""

    def make(method="compacterpp", overrides=(), **changes):
        (recipe,) = recipes_of([method], TABLES, overrides).values()
        job = Job(**{"recipe": {}, "target": 3, "steps": 2, "device": "cpu", **changes})
        model = measure.model_of_random_weights(recipe)
        return measure.Stepper(model, recipe.train, "cpu"), recipe, job

    return make


def test_a_batch_is_of_full_lengths_and_always_the_same(made):
    stepper, recipe, job = made()
    batch = measure.random_batch(stepper.model.shape, recipe, job, 5)
    assert (batch.source_ids.shape, batch.target_ids.shape) == ((5, 12), (5, 3))
    assert batch.source_mask.all()
    assert batch.target_tokens == 15
    assert batch.source_ids.min() > 2  # neither padding nor an end
    again = measure.random_batch(stepper.model.shape, recipe, job, 5)
    assert torch.equal(batch.source_ids, again.source_ids)


@pytest.mark.parametrize("method", ["full", "compacterpp"])
def test_steps_are_whole_and_leave_the_weights_as_they_are(made, method):
    stepper, recipe, job = made(method)
    before = {name: t.clone() for name, t in stepper.model.trained_tensors().items()}
    group = [measure.random_batch(stepper.model.shape, recipe, job, 2)]
    assert len(stepper.timed([group] * 3, warm_up=group)) == 3
    after = stepper.model.trained_tensors()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    assert any(tensor.grad.abs().sum() > 0 for tensor in after.values())
    (moment,) = {float(state["step"]) for state in stepper._trainer.optimizer.state.values()}
    assert moment == 4  # the warm-up too


def test_figures_agree_with_each_other(made, monkeypatch):
    stepper, recipe, job = made(overrides=["train.accumulate=2"])
    monkeypatch.setattr(stepper, "timed", lambda groups, warm_up: [0.4, 0.1, 0.3])
    found = measure.measured(stepper, recipe, job, size=5)
    assert found["step_ms"] == {"median": 300.0, "min": 100.0, "max": 400.0}
    assert found["example_ms"] == pytest.approx(30.0)  # 2 x 5 examples
    assert found["tokens_per_second"] == pytest.approx(500.0)  # 10 x (12 + 3) in 0.3 s
    assert found["peak_bytes"] == found["weight_bytes"] + found["growth_bytes"]
    assert found["example_bytes"] == found["peak_bytes"] / 5
    assert found["weight_bytes"] >= 4 * stepper.model.shape.parameters()
    assert found["epoch"] is None


def test_answers_are_given_as_scoring_gives_them_where_a_job_asks_for_them(made, monkeypatch):
    stepper, recipe, job = made(answers=7)
    asked = []
    monkeypatch.setattr(
        stepper.model, "greedy", lambda ids, mask, tokens, _: asked.append((ids.shape, tokens))
    )
    measure.measured(stepper, recipe, job, size=2)
    assert asked == [((7, 12), 3)]


def test_more_is_kept_for_more_examples_and_for_trained_weights(made):
    kept = {}
    for method in ("full", "compacterpp"):
        stepper, recipe, job = made(method, ["train.dropout=0.0"])
        for size in (2, 4):
            batch = measure.random_batch(stepper.model.shape, recipe, job, size)
            kept[method, size] = stepper.saved_bytes(batch)
    assert kept["full", 4] > kept["full", 2] > 0
    assert kept["full", 4] > kept["compacterpp", 4] > 0


def test_an_epoch_is_scaled_from_the_examples_that_were_timed(made, monkeypatch):
    stepper, recipe, job = made()
    sizes = []

    def timed(groups, warm_up):
        sizes.extend(sum(len(batch) for batch in group) for group in groups)
        return [1.5] * len(sizes)

    monkeypatch.setattr(stepper, "timed", timed)
    found = measure.epoch(stepper, recipe, job, size=4, vocabulary="random/tiny")
    assert sizes == [4, 4]
    assert found["timed_examples"] == 8
    assert found["seconds"] == pytest.approx(3.0 * found["examples"] / 8)
    assert found["mean_source_tokens"] <= 12


def test_a_vocabulary_must_fit_the_backbone(made):
    stepper, _, _ = made()
    assert len(measure.vocabulary_for("random/tiny", stepper.model.shape)) <= 128
    small = type(stepper.model.shape)(8, 64, 128, 2, 4, 16)
    with pytest.raises(UsageError, match="only 8 rows"):
        measure.vocabulary_for("random/tiny", small)


def test_bfloat16_is_stored_as_training_stores_it(made):
    frozen, _, _ = made(overrides=["backbone.precision=bfloat16"])
    weights = frozen.model.named_weights
    assert weights["encoder.0.feed_forward.input"].value.dtype == torch.bfloat16
    assert weights["encoder.0.feed_forward.layer_norm"].value.dtype == torch.float32
    full, _, _ = made("full", ["backbone.precision=bfloat16"])
    kinds = {variable.value.dtype for variable in full.model.named_weights.values()}
    assert kinds == {torch.float32}
