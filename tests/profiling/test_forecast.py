"""What a run will take: scaled by hand from a step that is made up."""

import pytest

from compacter_cli.profiling import forecast as forecasting
from compacter_cli.profiling.forecast import forecast, measured_part, scaled
from compacter_cli.recipe.recipe import load_recipe

CPU = {"device": "cpu", "device_name": "cpu", "threads": 1, "torch": "x", "free_bytes": 10**12}
GPU = {**CPU, "device": "cuda"}
SMOKE = ("demo/smoke_compacterpp", ["train.batch_size=200", "train.accumulate=3"])
COST = {
    "step_ms": 50.0, "weight_bytes": 1_000_000, "peak_bytes": 3_000_000, "frameworks_bytes": 7,
    "device_name": "cpu",
}  # fmt: skip


def test_a_cpu_measures_a_part_of_the_batch_at_the_rows_own_lengths():
    part, target = measured_part(load_recipe(*SMOKE), (9.2, 2.5), CPU)
    assert (part.data.source_length, target) == (16, 3)
    assert (part.train.batch_size, part.train.accumulate) == (64, 1)  # 1,024 tokens
    assert part.train.eval_batch_size == 32  # of 100, as 64 of 200


def test_a_gpu_measures_the_whole_batch_and_unknown_lengths_are_the_longest():
    recipe = load_recipe(*SMOKE)
    part, _ = measured_part(recipe, None, GPU)
    assert part.train.batch_size == 200
    assert part.data.source_length == recipe.data.source_length


def test_time_and_what_grows_with_the_batch_are_scaled():
    recipe = load_recipe(*SMOKE)
    part, _ = measured_part(recipe, (9.2, 2.5), CPU)
    found = scaled(COST, recipe, part, updates=10)
    assert found["seconds"] == pytest.approx(10 * 0.05 * 200 / 64 * 3)
    moving = 2_000_000 - 12 * 1_888  # by hand: gradients and two moments of what trains stay
    assert found["peak_bytes"] == round(3_000_000 + (200 / 64 - 1) * moving)
    assert (found["steps"], found["examples"], found["source_tokens"]) == (2, 64, 16)


def test_nothing_is_measured_where_the_weights_alone_would_not_fit(monkeypatch):
    small = {**CPU, "free_bytes": 173_056 * 4}
    monkeypatch.setattr(forecasting, "machine_of", lambda *_: small)
    monkeypatch.setattr(forecasting, "measured_cost", lambda *_: pytest.fail("measured"))
    assert forecast(load_recipe(*SMOKE), 10, None) is None


@pytest.mark.slow
def test_a_few_steps_are_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path))
    said = []
    first = forecast(load_recipe(*SMOKE), 10, (9, 3), "cpu", 1, said.append)
    assert first == forecast(load_recipe(*SMOKE), 10, (9, 3), "cpu", 1, said.append)
    assert first["seconds"] > 0
    assert said == ["measuring 2 steps of 64 examples, on random weights ..."]
