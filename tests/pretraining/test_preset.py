"""A preset is moved to its place with its config last, which makes it one."""

import pytest

from compacter_cli.pretraining.preset import is_preset, move_into
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.saving import write_preset
from compacter_cli.t5.shapes import CONFIG


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def backbone(tiny_backbone):
    return tiny_backbone(vocabulary_size=len(tiny_vocabulary()), num_layers=1)


def test_the_config_is_moved_last_and_what_was_moved_before_is_replaced(backbone, tmp_path):
    write_preset(tmp_path / "fresh", backbone, tiny_vocabulary(), "float32")
    place = tmp_path / "place"
    (place / "assets" / "old").mkdir(parents=True)  # of an attempt that was killed
    (place / "recipe.toml").write_text("mine")
    assert not is_preset(place)
    move_into(place, tmp_path / "fresh")
    assert is_preset(place)
    assert not (place / "assets" / "old").exists()
    assert (place / "recipe.toml").read_text() == "mine"
    assert not (tmp_path / "fresh").exists()
    load_backbone(str(place))


def test_a_move_that_is_cut_short_leaves_no_preset_but_can_be_done_again(
    backbone, tmp_path, monkeypatch
):
    import os

    moved, replace = [], os.replace

    def cut_short(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target.name)
        replace(source, target)

    write_preset(tmp_path / "fresh", backbone, tiny_vocabulary(), "float32")
    names = {path.name for path in (tmp_path / "fresh").iterdir()}
    (tmp_path / "place").mkdir()
    monkeypatch.setattr("os.replace", cut_short)
    with pytest.raises(KeyboardInterrupt):
        move_into(tmp_path / "place", tmp_path / "fresh")
    monkeypatch.undo()
    assert len(names) > len(moved)
    assert CONFIG not in moved
    assert not is_preset(tmp_path / "place")
    write_preset(tmp_path / "again", backbone, tiny_vocabulary(), "float32")
    move_into(tmp_path / "place", tmp_path / "again")
    assert {path.name for path in (tmp_path / "place").iterdir()} == names
