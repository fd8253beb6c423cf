"""The rows of a profile, with made-up children: counts, costs, deltas, and what reaches a child."""

from typing import ClassVar, Literal

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.methods.base import Component, Efficient
from compacter_cli.profiling import comparison
from compacter_cli.profiling.comparison import compare, row_of
from compacter_cli.profiling.deltas import paper_deltas
from compacter_cli.profiling.job import Job
from compacter_cli.profiling.plan import recipes_of
from compacter_cli.profiling.request import ProfileRequest

MACHINE = {"device": "cpu", "device_name": "cpu", "threads": 1, "torch": "2", "free_bytes": 10**9}
COSTS = {"batch": 16, "example_ms": 30.0, "example_bytes": 500.0}
FULL = {"batch": 16, "example_ms": 40.0, "example_bytes": 1000.0}
MEMORY = {"failed": "killed (SIGKILL), out of memory?", "memory": True}


@pytest.fixture
def machine():
    """What the children see; to be changed."""
    return dict(MACHINE)


@pytest.fixture
def children(monkeypatch, machine):
    """Made-up children, of which those of `said` find no memory; gives the jobs they got."""
    jobs = []

    def run_job(job):
        jobs.append(job)
        name = job.recipe["method"]["name"]
        return dict({"full": FULL, "said": MEMORY}.get(name, COSTS))

    monkeypatch.setattr(comparison, "run_job", run_job)
    monkeypatch.setattr(comparison, "run_probe", lambda probe: machine)
    return jobs


def profile(*methods, **request):
    return compare(ProfileRequest(methods=methods, **request))


def test_a_child_that_fails_is_a_row_and_the_others_go_on(children):
    found = profile("full", "said", "phm", "adapter", overrides=("method.n=5",))
    full, said, phm, adapter = found["methods"]
    assert "failed" not in full
    assert said["failed"].startswith("killed")
    assert said["trained"] > 0
    assert said["paper_delta_percent"]["time"] == pytest.approx(241.82, abs=0.005)
    assert phm["failed"] == "24 % 5"
    assert "trained" not in phm
    assert adapter["delta_percent"] == {"time": -25.0, "memory": -50.0}
    assert [job.recipe["method"]["name"] for job in children] == ["full", "said", "adapter"]


def test_the_setting_stands_beside_the_rows(children):
    found = profile("full", batch=3, source=9, target=2, steps=7, precision="bfloat16")
    methods = found.pop("methods")
    assert [row["method"] for row in methods] == ["full"]
    assert found == {
        "backbone": "t5_base_multi",
        "batch": 3,
        "accumulate": 1,
        "source": 9,
        "target": 2,
        "precision": "bfloat16",
        "device": "cpu",
        "device_name": "cpu",
        "threads": 1,
        "torch": "2",
        "steps": 7,
        "task": None,
        "vocabulary": None,
        "budget_bytes": None,
        "delta": "(x - full) / full",
    }


def test_the_backbone_named_is_the_one_measured(children):
    found = profile("full", overrides=("backbone.preset=demo/t5", "train.batch_size=4"))
    assert (found["backbone"], found["batch"]) == ("demo/t5", 4)


def test_what_is_asked_for_reaches_the_children(children):
    profile("phm", batch=3, target=2, steps=7, threads=2, overrides=("method.bottleneck=48",))
    (job,) = children
    assert (job.target, job.steps, job.threads, job.device) == (2, 7, 2, "cpu")
    assert (job.batch, job.recipe["method"]["bottleneck"]) == (3, 48)
    assert (job.vocabulary, job.budget, job.search) == (None, None, False)


def test_without_names_all_methods_are_measured_and_each_is_told(children):
    told = []
    found = compare(ProfileRequest(), say=told.append)
    assert told[0] == f"measuring {found['methods'][0]['method']} (1 of {len(told)}) ..."
    assert len(told) == len(found["methods"]) == len(children)


def test_a_budget_is_searched_in_children_on_a_cpu_and_in_one_on_a_gpu(
    children, monkeypatch, machine
):
    jobs = []
    monkeypatch.setattr(
        comparison, "measured_within_budget", lambda job: jobs.append(job) or {"failed": "x"}
    )
    assert profile("full", memory_budget=10**8)["batch"] is None
    assert [job.budget for job in jobs] == [10**8]
    assert children == []
    machine["device"] = "cuda"
    profile("full", memory_budget=10**8)
    assert [job.search for job in children] == [True]
    assert len(jobs) == 1


def test_a_device_that_is_not_there_is_a_mistake_and_a_child_that_breaks_a_failure(
    children, monkeypatch
):
    monkeypatch.setattr(
        comparison, "run_probe", lambda _: {"failed": "no tpu", "usage": True, "hint": "a cpu"}
    )
    with pytest.raises(UsageError, match="no tpu") as caught:
        profile("full")
    assert caught.value.hint == "a cpu"
    monkeypatch.setattr(comparison, "run_probe", lambda _: {"failed": "no message"})
    with pytest.raises(CompacterError, match="no message") as caught:
        profile("full")
    assert not isinstance(caught.value, UsageError)


class Throwaway(Efficient):
    """A method that the paper does not have."""

    name: Literal["throwaway"] = "throwaway"
    components: ClassVar = {**Efficient.components, "scales": Component("scales", "scales")}

    def count_added(self, shape):
        return {"scales": 3 * shape.hidden_dim}


def test_a_method_that_is_not_in_the_paper_has_a_row_without_its_deltas(children):
    tables = {"task": "demo/smoke", "backbone": {"preset": "random/tiny"}}
    (recipe,) = recipes_of(["bitfit"], tables).values()
    job = Job({}, target=3, steps=2, device="cpu")
    row = row_of(recipe.model_copy(update={"method": Throwaway()}), job)
    assert row["method"] == "throwaway"
    assert row["trained"] == 3 * 64
    assert row["example_ms"] == 30.0
    assert row["paper_delta_percent"] == {"time": None, "memory": None}
    assert row["delta_percent"] is None
    ours = row_of(recipe, job)
    assert ours["paper_delta_percent"] == paper_deltas("bitfit")
    assert ours["paper_delta_percent"]["time"] is not None
