"""How far a run is that another process trains."""

import json
import os

from compacter_cli.sweeps.following import Followed, follow


def write(run, lines, lock=True):
    run.mkdir(exist_ok=True)
    (run / "metrics.jsonl").write_text("\n".join(lines))
    if lock:
        (run / ".lock").write_text("1\n")


def update(step, loss):
    return json.dumps({"kind": "update", "step": step, "loss": loss})


def test_the_latest_update_is_told(tmp_path):
    write(tmp_path, [update(1, 3.0), update(2, 2.5), json.dumps({"kind": "epoch"}), '{"kind": "u'])
    found = follow(tmp_path, began=0)
    assert (found.update, found.loss) == (2, 2.5)


def test_a_run_that_nobody_writes_is_not_followed(tmp_path):
    write(tmp_path, [update(1, 3.0)], lock=False)
    assert follow(tmp_path, began=0) is None
    assert follow(tmp_path / "nothing", began=0) is None


def test_a_lock_left_before_the_sweep_began_is_of_a_dead_process(tmp_path):
    write(tmp_path, [update(1, 3.0)])
    os.utime(tmp_path / ".lock", (1_000, 1_000))
    assert follow(tmp_path, began=10_000) is None


def test_a_run_without_updates_has_no_loss(tmp_path):
    write(tmp_path, [])
    assert follow(tmp_path, began=0)[:2] == (0, None)


def test_time_left_is_by_the_pace_since_it_was_first_looked_at():
    found = Followed(update=30, loss=1.0, since=(100.0, 10))
    assert found.seconds_left(50, now=110.0) == 10.0
    assert found.seconds_left(None, now=110.0) is None
    assert Followed(10, 1.0, (100.0, 10)).seconds_left(50, now=110.0) is None
