"""Why runs failed: noted, read though damaged, and forgotten."""

from pathlib import Path

import pytest

from compacter_cli.sweeps.failures import forget_failure, log_of, read_failure, write_failure

RUN = "runs/demo/smoke/one/s1"


def test_a_failure_is_kept_until_it_is_forgotten(tmp_path):
    write_failure(tmp_path, RUN, {"state": "failed", "error": "no luck"})
    assert read_failure(tmp_path, RUN) == {"state": "failed", "error": "no luck"}
    forget_failure(tmp_path, RUN)
    assert read_failure(tmp_path, RUN) is None


@pytest.mark.parametrize(("held", "said"), [("{", "is damaged"), ("[]", "nobody noted why")])
def test_a_damaged_note_is_a_failure_too(tmp_path, held, said):
    write_failure(tmp_path, RUN, {"state": "failed"})
    (tmp_path / "failed" / "demo/smoke/one/s1.json").write_text(held)
    assert said in read_failure(tmp_path, RUN)["error"]


def test_logs_lie_as_runs_do():
    assert log_of(Path("here"), RUN) == Path("here/logs/demo/smoke/one/s1.log")
