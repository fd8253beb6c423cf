import json

import pytest

from compacter_cli.training.environment import environment, note_resumed

ENVIRONMENT = {"python": "3.x"}


def test_the_environment_names_versions_machine_and_command(monkeypatch):
    import keras
    import torch

    monkeypatch.setattr("sys.argv", ["compacter", "train", "--recipe", "x"])
    found = environment("cpu")
    assert found["packages"]["keras"] == keras.__version__
    assert found["packages"]["torch"] == torch.__version__
    assert None not in found["packages"].values()
    assert (found["device"], found["device_name"]) == ("cpu", "cpu")
    assert found["threads"] == torch.get_num_threads()
    assert found["command"] == ["train", "--recipe", "x"]
    json.dumps(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [5]),
        ("", [5]),
        ("[1]", [5]),
        ('{"resumed": 3}', [5]),
        ('{"device": "cuda"}', [5]),
        ('{"resumed": [2, 4]}', [2, 4, 5]),
    ],
)
def test_after_which_updates_a_run_goes_on_is_added_to_its_environment(tmp_path, text, expected):
    path = tmp_path / "environment.json"
    if text is not None:
        path.write_text(text)
    note_resumed(tmp_path, ENVIRONMENT, 5)
    assert json.loads(path.read_text()) == {**ENVIRONMENT, "resumed": expected}
