"""The search for the largest batch, with made-up trials."""

import pytest

from compacter_cli.profiling import budget
from compacter_cli.profiling.budget import largest_batch, measured_within_budget
from compacter_cli.profiling.job import Job


def searched(largest, first):
    """What the search finds where `largest` is the largest that fits, and all that it tried."""
    tried = []

    def fits(size):
        tried.append(size)
        return size <= largest

    return largest_batch(fits, first), tried


def test_small_batches_are_found_exactly():
    assert searched(13, first=4) == (13, [4, 8, 16, 12, 14, 13])


@pytest.mark.parametrize("largest", [1, 2, 5, 16, 31, 32, 33, 100, 1000])
@pytest.mark.parametrize("first", [1, 16, 100])
def test_the_batch_found_fits_and_a_sixteenth_more_would_not(largest, first):
    found, tried = searched(largest, first)
    assert found <= largest < found + max(1, found // 16) + 1
    assert len(tried) == len(set(tried))


def test_nothing_fits():
    assert searched(0, first=8)[0] == 0


RECIPE = {"train": {"batch_size": 4, "epochs": 1}}
JOB = Job(RECIPE, target=3, steps=5, device="cpu", threads=1, vocabulary="dir", budget=10**9)


@pytest.fixture
def run(monkeypatch):
    """Puts made-up children in the place of real ones; gives the jobs they got."""

    def put(answer):
        jobs = []

        def run_job(job):
            assert (job.recipe["train"]["epochs"], job.budget) == (1, 10**9)
            jobs.append((job.recipe["train"]["batch_size"], job.steps, job.vocabulary))
            return answer(*jobs[-1])

        monkeypatch.setattr(budget, "run_job", run_job)
        return jobs

    return put


def test_trials_are_short_and_the_largest_is_measured_in_full(run):
    jobs = run(lambda size, *_: {"batch": size} if size < 7 else {"failed": "x", "memory": True})
    assert measured_within_budget(JOB) == {"batch": 6}
    assert jobs == [(4, 1, None), (8, 1, None), (6, 1, None), (7, 1, None), (6, 5, "dir")]
    assert RECIPE["train"]["batch_size"] == 4


def test_a_batch_that_fits_for_a_step_only_is_made_smaller(run):
    def answer(size, steps, _):
        return {"batch": size} if size <= (3 if steps == 5 else 4) else {"failed": "", "memory": 1}

    run(answer)
    assert measured_within_budget(JOB) == {"batch": 3}


def test_a_failure_that_is_not_of_memory_ends_the_search(run):
    failure = {"failed": "the loss is not finite"}
    jobs = run(lambda *_: failure)
    assert measured_within_budget(JOB) == failure
    assert [size for size, _, _ in jobs] == [4]


def test_one_example_may_be_too_much(run):
    run(lambda *_: {"failed": "out of memory", "memory": True})
    assert measured_within_budget(JOB)["failed"] == "out of memory at batch 1"
