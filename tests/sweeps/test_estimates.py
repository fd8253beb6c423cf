"""What a sweep will take: updates by hand, times steps, and the paper's minutes."""

import pytest

from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.sweeps import estimates
from compacter_cli.sweeps.expansion import expand
from compacter_cli.sweeps.reading import load_sweep, with_parts
from compacter_cli.sweeps.sections import Arm, Sweep


def rte():
    return expand(with_parts(load_sweep("table1"), ["glue/rte"], ["full", "adapter"])).runs


def test_updates_are_those_of_the_run():
    assert estimates.updates_of(load_recipe("glue/rte_full")) == 25 * 20  # 2,490 rows by 100
    assert estimates.updates_of(load_recipe("glue/rte_full", ["data.max_train_samples=101"])) == 40


def test_an_estimate_adds_up_updates_times_steps():
    runs = rte()  # one of full, three of adapter
    measured = {"weight_bytes": 1, "device_name": "x"}
    costs = {
        estimates.kind_of(runs[0].recipe): {"step_ms": 100.0, "peak_bytes": 7, **measured},
        estimates.kind_of(runs[1].recipe): {"step_ms": 10.0, "peak_bytes": 9, **measured},
    }
    found = estimates.estimate(runs, costs)
    assert (found.runs, found.updates, found.peak_bytes) == (4, 2_000, 9)
    assert found.seconds == pytest.approx(50 + 3 * 5)
    # Table 3's minutes for MNLI's 392,702 rows, by rows and epochs
    minutes = (42.13 + 3 * 31.81) * 2_490 * 20 / 392_702
    assert found.paper_seconds == pytest.approx(60 * minutes)


def test_what_was_not_measured_is_not_known():
    found = estimates.estimate(rte(), {})
    assert (found.seconds, found.peak_bytes) == (None, None)


def test_the_paper_times_no_other_backbone():
    assert estimates.paper_seconds(load_recipe("demo/entailment_full")) is None


def test_settings_of_a_method_are_measured_once():
    assert len({estimates.kind_of(run.recipe) for run in rte()}) == 2


def smoke(*overrides):
    arm = Arm(name="one", recipe="demo/smoke_compacterpp", set=dict(overrides))
    return expand(Sweep(name="tiny", title="Tiny", tasks=["demo/smoke"], arms=[arm])).runs


def test_steps_are_of_the_rows_own_lengths_and_scaled_to_the_batch(monkeypatch):
    machine = {"device": "cpu", "device_name": "x", "threads": 1, "torch": "x", "free_bytes": None}
    cost = {"step_ms": 10.0, "weight_bytes": 1, "peak_bytes": 9, "frameworks_bytes": 7,
            "device_name": "x"}  # fmt: skip
    asked = []
    monkeypatch.setattr(estimates, "machine_of", lambda *_: machine)
    monkeypatch.setattr(estimates, "lengths_at_hand", lambda recipe: (9.5, 2.5))
    monkeypatch.setattr(estimates, "kept_cost", lambda *given: asked.append(given) or cost)
    ((_, found),) = estimates.step_costs(
        smoke(("train.batch_size", 128)), "cpu", 1, lambda line: None
    ).items()
    ((part, _, target),) = asked
    assert (part.data.source_length, part.train.batch_size, target) == (16, 64, 3)
    assert found["step_ms"] == pytest.approx(20.0)  # 64 examples of 16 tokens are half a batch


@pytest.mark.slow
def test_a_step_is_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path))
    said = []
    first = estimates.step_costs(smoke(), "cpu", 1, said.append)
    ((_, cost),) = first.items()
    assert cost["step_ms"] > 0
    assert cost["peak_bytes"] > 0
    assert said == ["measuring a step of compacterpp (1 of 1) ..."]
    assert estimates.step_costs(smoke(), "cpu", 1, said.append) == first
    assert len(said) == 1
