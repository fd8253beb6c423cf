"""Questions to a child process: they travel as JSON and come out the same."""

import json

import pytest

from compacter_cli.profiling.job import Job, Probe, as_plain, of_plain

RECIPE = {"train": {"batch_size": 4, "epochs": 1}, "task": "demo/smoke"}


@pytest.mark.parametrize(
    "asked",
    [
        Probe(None),
        Probe("cuda:1", threads=2),
        Job(RECIPE, target=3, steps=2, device="cpu"),
        Job(RECIPE, 3, 2, "cuda", threads=2, vocabulary="dir", budget=10**9, search=True),
    ],
)
def test_what_is_asked_is_the_same_after_its_travel(asked):
    assert of_plain(json.loads(json.dumps(as_plain(asked)))) == asked


def test_another_batch_leaves_the_rest_and_the_job_itself_as_they_are():
    job = Job(RECIPE, target=3, steps=2, device="cpu", budget=10**9)
    other = job.with_batch(7)
    assert (job.batch, other.batch) == (4, 7)
    assert other.recipe == {"train": {"batch_size": 7, "epochs": 1}, "task": "demo/smoke"}
    assert (other.target, other.steps, other.budget) == (3, 2, 10**9)
