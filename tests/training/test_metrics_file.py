import json

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.training.metrics_file import append_metrics, cut_metrics


def test_metrics_are_a_json_object_a_line(tmp_path):
    append_metrics(tmp_path, kind="update", step=1, loss=0.5)
    append_metrics(tmp_path, kind="epoch", number=1)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "update", "step": 1, "loss": 0.5},
        {"kind": "epoch", "number": 1},
    ]


def test_metrics_that_cannot_be_written_are_an_error_of_one_line(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()  # stands for a full or failing disk
    with pytest.raises(CompacterError, match="metrics"):
        append_metrics(tmp_path, step=1)


@pytest.mark.parametrize(("step", "kept"), [(-1, 0), (0, 1), (1, 2), (2, 4), (9, 4)])
def test_metrics_are_cut_to_what_will_not_be_written_again(tmp_path, step, kept):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": number}) for number in (0, 1, 2, 2)]
    path.write_text("\n".join(lines) + '\n{"step": 3, "lo')  # killed while writing
    cut_metrics(tmp_path, step)
    assert path.read_text().splitlines() == lines[:kept]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_lines_of_epochs_that_will_be_scored_again_are_cut(tmp_path):
    # An epoch's line has the step of its last update, which may be saved without it.
    lines = ['{"step": 4}', '{"step": 4, "number": 1}', '{"step": 8}', '{"step": 8, "number": 2}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    cut_metrics(tmp_path, 8, epochs=1)
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == lines[:3]


def test_lines_that_are_no_updates_are_cut(tmp_path):
    kept = '{"step": 1}'
    odd = ["[" * 5_000, "5", "null", '"step"', '{"step": "1"}', '{"step": 1, "number": "1"}', "[1]"]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*odd, kept]) + "\n")
    cut_metrics(tmp_path, 8)
    assert (tmp_path / "metrics.jsonl").read_text() == kept + "\n"


def test_metrics_that_were_never_written_are_cut_too(tmp_path):
    cut_metrics(tmp_path, 3)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
