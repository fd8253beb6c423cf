"""Dimensions of T5 backbones: the presets' published totals, saved configs, what is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import compacter_cli
from compacter_cli.errors import MissingResourceError, UsageError
from compacter_cli.t5.shapes import (
    DEMO_PRESET,
    MOST_LAYERS,
    MOST_PARAMETERS,
    PRESETS,
    RANDOM_TINY_SHAPE,
    WIDEST,
    T5Shape,
    local_directory,
    shape_of,
)

PUBLISHED = {  # KerasHub's own `params` of each preset
    "t5_small_multi": 60_506_624,
    "t5_1.1_small": 60_511_616,
    "t5_base_multi": 222_903_552,
    "t5_1.1_base": 247_577_856,
    "flan_base_multi": 247_577_856,
    "t5_large_multi": 737_668_096,
    "t5_1.1_large": 750_251_008,
    "t5_1.1_xl": 2_849_757_184,
    "t5_1.1_xxl": 11_135_332_352,
    "flan_small_multi": 76_961_152,
    "flan_large_multi": 783_150_080,
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_parameters_are_those_that_kerashub_publishes(preset):
    assert shape_of(preset).parameters() == PUBLISHED[preset]


def test_there_is_a_shape_for_every_published_preset_and_no_other(keras):
    from keras_hub.src.models.t5.t5_presets import backbone_presets

    published = {name: entry["metadata"]["params"] for name, entry in backbone_presets.items()}
    assert {name: shape.parameters() for name, shape in PRESETS.items()} == published


def test_the_papers_t5_base_has_fewer_rows():
    assert shape_of("t5_base_multi").parameters(rows=32_100) == 222_882_048


def test_base_and_larger_are_as_large_as_base():
    small = {name for name, shape in PRESETS.items() if not shape.as_large_as_base}
    assert small == {"t5_small_multi", "t5_1.1_small", "flan_small_multi"}
    assert not replace(PRESETS["t5_base_multi"], num_layers=11).as_large_as_base


def test_layer_norms_and_blocks_of_t5_base():
    base = shape_of("t5_base_multi")
    assert base.layer_norm_parameters == 62 * 768 == 47_616
    assert base.blocks == 24


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("v1_0", {"num_layers": 2}),
        ("v1_0", {"num_heads": 2, "key_value_dim": 24}),
        ("v1_0", {"tie_embedding_weights": False}),
        ("gated", {}),
        ("gated", {"tie_embedding_weights": True}),
    ],
)
def test_parameters_are_those_of_a_built_backbone(tiny_backbone, kind, changes):
    from compacter_cli.t5.placement import shape_of_backbone

    backbone = tiny_backbone(kind, **{"num_layers": 1, **changes})
    assert shape_of_backbone(backbone).parameters() == backbone.count_params()


def test_random_tiny_is_what_is_made(keras):
    from compacter_cli.t5.placement import shape_of_backbone
    from compacter_cli.t5.random_backbone import tiny_backbone

    assert shape_of("random/tiny") == RANDOM_TINY_SHAPE == shape_of_backbone(tiny_backbone())


@pytest.mark.parametrize(
    ("kind", "changes"), [("v1_0", {}), ("v1_0", {"key_value_dim": None}), ("gated", {})]
)
def test_a_saved_preset_s_config_is_read(tiny_backbone, tmp_path, kind, changes):
    backbone = tiny_backbone(kind, num_layers=1, **changes)
    backbone.save_to_preset(str(tmp_path / "preset"))
    gated = kind == "gated"
    expected = T5Shape(64, 32, 48, 1, 4, 8, gated=gated, tied=not gated)
    assert shape_of(str(tmp_path / "preset")) == expected


def config(**changes):
    values = {
        "vocabulary_size": 64,
        "hidden_dim": 32,
        "intermediate_dim": 48,
        "num_layers": 2,
        "num_heads": 4,
        "key_value_dim": 10,
        "use_gated_activation": False,
        "tie_embedding_weights": True,
        **changes,
    }
    return {"class_name": "T5Backbone", "config": values}


def test_heads_can_be_of_another_size_than_k_over_h(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config()))
    assert shape_of(str(tmp_path)).key_value_dim == 10


def test_a_relative_path_and_a_home_path_are_read(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("mine", "./mine", "~/mine"):
        assert shape_of(path).hidden_dim == 32


def without(key):
    saved = config()
    del saved["config"][key]
    return saved


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        (json.dumps({"class_name": "T5Backbone"}), "'config'"),
        (json.dumps({"class_name": "T5Backbone", "config": []}), "TypeError"),
        (json.dumps(without("hidden_dim")), "KeyError: 'hidden_dim'"),
        (json.dumps(without("num_heads")), "KeyError: 'num_heads'"),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path, text, what):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="not the config of a T5") as error:
        shape_of(str(tmp_path))
    assert what in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not the config of a T5"):
        shape_of(str(tmp_path))


def test_another_model_s_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**config(), "class_name": "BertBackbone"}))
    with pytest.raises(UsageError, match="expected a T5Backbone, got BertBackbone"):
        shape_of(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("t5_base_mult", 'did you mean "t5_base_multi"?'),
        ("flan_larg_multi", 'did you mean "flan_large_multi"?'),
        ("bert", "known names: t5_small_multi, "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint):
    with pytest.raises(UsageError, match=f'"{name}" is no KerasHub T5 preset') as error:
        shape_of(name)
    assert hint in error.value.hint


@pytest.mark.parametrize("path", ["/no/such/preset", "./preset", "~/preset", "folder/preset"])
def test_a_path_with_nothing_there_is_missing_and_not_an_unknown_name(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingResourceError, match="there is no directory") as error:
        shape_of(path)
    assert path in str(error.value)


def test_a_directory_without_a_config_is_no_preset(tmp_path):
    with pytest.raises(MissingResourceError, match=r"holds no config\.json"):
        shape_of(str(tmp_path))


def test_a_name_is_no_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_directory("t5_base_multi") is None


@pytest.fixture
def folder_of_that_name(tmp_path, monkeypatch):
    """A preset of a user's own in ./demo/t5."""
    place = tmp_path / "demo" / "t5"
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(config(hidden_dim=77)))
    monkeypatch.chdir(tmp_path)
    return place


SHIPPED = Path(compacter_cli.__file__).parent / "presets" / "demo_t5"


def test_demo_t5_is_the_preset_in_the_package_whatever_lies_in_the_working_directory(
    folder_of_that_name,
):
    assert local_directory(DEMO_PRESET) == SHIPPED
    assert shape_of(DEMO_PRESET).hidden_dim != 77


def test_a_folder_of_that_name_is_had_by_its_path(folder_of_that_name):
    assert shape_of("./demo/t5").hidden_dim == 77
    assert local_directory(str(folder_of_that_name)) == folder_of_that_name


def test_the_shipped_preset_has_the_dimensions_of_the_recipe_that_made_it():
    from compacter_cli.pretraining.recipe import load_pretraining

    shape = shape_of(DEMO_PRESET)
    assert shape == load_pretraining("demo/pretrain").backbone.shape(shape.vocabulary_size)


def test_shape_of_backbone_reads_every_dimension():
    from compacter_cli.t5.placement import shape_of_backbone

    fields = {
        "vocabulary_size": 1,
        "hidden_dim": 20,
        "intermediate_dim": 3,
        "num_layers": 4,
        "num_heads": 5,
        "key_value_dim": None,
        "use_gated_activation": True,
        "tie_embedding_weights": False,
    }
    assert shape_of_backbone(SimpleNamespace(**fields)) == T5Shape(
        1, 20, 3, 4, 5, 4, gated=True, tied=False
    )


@pytest.mark.timeout(120)
def test_a_config_that_is_no_file_or_lies_elsewhere_is_refused(tmp_path):
    (tmp_path / "preset").mkdir()
    path = tmp_path / "preset" / "config.json"
    (tmp_path / "config.json").write_text(json.dumps(config()))
    path.symlink_to("../config.json")
    with pytest.raises(UsageError, match=r"it is a link to .*, outside of its directory"):
        shape_of(str(tmp_path / "preset"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="it is no file"):
        shape_of(str(tmp_path / "preset"))


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5_000])
def test_a_name_that_is_too_long_for_a_file_is_an_unknown_name(name):
    assert local_directory(name) is None
    with pytest.raises(MissingResourceError, match="there is no directory"):
        local_directory(f"./{name}")


def test_the_largest_t5s_are_within_the_bounds():
    for shape in PRESETS.values():
        assert shape.num_layers <= MOST_LAYERS
        assert max(shape.vocabulary_size, shape.intermediate_dim, shape.hidden_dim) <= WIDEST
        assert shape.parameters() <= MOST_PARAMETERS
