"""What the files of other libraries may come to: damage, pickles with code, too much."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.exchange import adapterhub_config, peft
from compacter_cli.exchange.foreign import (
    CONFIG,
    Counterpart,
    Foreign,
    check_base,
    read_foreign,
    says_peft,
)
from compacter_cli.t5.shapes import PRESETS, T5Shape

TINY = T5Shape(64, 32, 48, 1, 4, 8)
FILES = ("weights.safetensors", "weights.bin")


@pytest.fixture
def read(tmp_path):
    (tmp_path / CONFIG).write_text("{}")
    return lambda: read_foreign(tmp_path, "a library", FILES, TINY)


@pytest.mark.parametrize("form", ["same", "transposed", "column", "row"])
def test_a_form_and_back_are_the_same(form):
    tensor = torch.randn(3) if form in ("column", "row") else torch.randn(3, 2)
    there = Counterpart("x", form)
    shapes = {"same": (3, 2), "transposed": (2, 3), "column": (3, 1), "row": (1, 3)}
    assert tuple(there.theirs(tensor).shape) == shapes[form]
    assert torch.equal(there.ours(there.theirs(tensor)), tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_halves_are_read_exactly(read, tmp_path, dtype):
    value = torch.randn(4, 3).to(dtype)
    torch.save({"a": value}, tmp_path / FILES[1])
    assert torch.equal(read().tensors["a"], value.float())
    safetensors.torch.save_file({"b": value}, tmp_path / FILES[0])  # is read before the other
    assert torch.equal(read().tensors["b"], value.float())


def test_a_snapshot_of_the_cache_is_read_through_its_links_and_no_others(tmp_path):
    kept = tmp_path / "models--somebody--lora"
    place = kept / "snapshots" / "abc"
    place.mkdir(parents=True)
    (kept / "blobs").mkdir()
    (kept / "blobs" / "0").write_text('{"a": 1}')
    safetensors.torch.save_file({"b": torch.ones(2)}, kept / "blobs" / "1")
    (place / CONFIG).symlink_to("../../blobs/0")
    (place / FILES[0]).symlink_to("../../blobs/1")
    found = read_foreign(place, "a library", FILES, TINY)
    assert (found.config, list(found.tensors)) == ({"a": 1}, ["b"])
    (kept / "blobs" / "1").rename(tmp_path / "elsewhere")
    (place / FILES[0]).unlink()
    (place / FILES[0]).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CompacterError, match="it is a link to"):
        read_foreign(place, "a library", FILES, TINY)


def test_a_pickle_with_code_is_refused_and_not_run(read, tmp_path):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        save({"a": Bad()}, tmp_path / FILES[1])
        with pytest.raises(CompacterError, match=r"weights\.bin: it is no file of tensors alone"):
            read()
    assert not (tmp_path / "ran").exists()


def test_what_unpacks_to_more_than_the_backbone_is_refused(read, tmp_path):
    torch.save({"a": torch.zeros(30_000_000)}, tmp_path / "large.bin")
    with (
        zipfile.ZipFile(tmp_path / "large.bin") as large,
        zipfile.ZipFile(tmp_path / FILES[1], "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in large.namelist():
            bomb.writestr(name, large.read(name))
    with pytest.raises(CompacterError, match="unpacked it has 120,"):
        read()
    os.replace(tmp_path / "large.bin", tmp_path / FILES[1])
    with pytest.raises(CompacterError, match="are not read"):
        read()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": torch.tensor([1.0, float("nan")])}, "NaN or infinity in a"),
        ({"a": torch.tensor([1, 2])}, "holds a as int64"),
        ({"a": torch.eye(2).to_sparse()}, "holds a as float32"),
        ({"a": {"b": torch.zeros(2)}}, "holds no table of tensors"),
        (torch.zeros(2), "holds no table of tensors"),
    ],
)
def test_what_is_no_table_of_finite_floats_is_named(read, tmp_path, value, why):
    torch.save(value, tmp_path / FILES[1])
    with pytest.raises(CompacterError, match=why):
        read()


def test_damage_and_absence_are_told(read, tmp_path):
    with pytest.raises(CompacterError, match=r"no weights of an adapter of a library") as caught:
        read()
    assert caught.value.hint == "copy weights.safetensors or weights.bin there, too"
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(CompacterError, match=f"{name}: it is no file of tensors alone"):
            read()
        data = safetensors.torch.save({"a": torch.zeros(9)})
        torch.save({"a": torch.zeros(9)}, tmp_path / "whole")
        data = data if name == FILES[0] else (tmp_path / "whole").read_bytes()
        (tmp_path / name).write_bytes(data[:-20])
        with pytest.raises(CompacterError, match=f"{name}: it is no file of tensors alone"):
            read()
        (tmp_path / name).unlink()
    for text in ("", "[]", "{", '{"a": ' * 100):
        (tmp_path / CONFIG).write_text(text)
        with pytest.raises(CompacterError, match=r"cannot read .*adapter_config\.json"):
            read()


def test_a_link_out_of_the_directory_is_not_followed(read, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    torch.save({"a": torch.zeros(2)}, outside)
    (tmp_path / FILES[1]).symlink_to(outside)
    with pytest.raises(CompacterError, match="outside of its directory"):
        read()


def test_whose_config_it_is_is_seen_from_a_key(tmp_path):
    assert says_peft(tmp_path) is None
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA"')  # damaged, too
    assert says_peft(tmp_path) is True
    (tmp_path / CONFIG).write_text('{"config": {}}')
    assert says_peft(tmp_path) is False


ODD = [None, True, -1, 1e308, float("nan"), "x", [], [None], [[1]], {}, {"a": []}]
BOTTLENECK = {"mh_adapter": True, "output_adapter": True, "non_linearity": "relu"}
BOTTLENECK |= {
    "reduction_factor": 4,
    "leave_out": [],
    "phm_layer": True,
    "phm_dim": 4,
    "phm_rank": 1,
}
BOTTLENECK |= {"original_ln_before": False, "residual_before_ln": True, "shared_phm_rule": True}
LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 8, "modules_to_save": None, "bias": "none"}
LORA |= {"init_lora_weights": True, "use_rslora": False, "base_model_name_or_path": "t5"}
IA3 = {"peft_type": "IA3", "feedforward_modules": ["wo"], "target_modules": ["k", "v", "wo"]}
PROMPT = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "token_dim": 32}


@pytest.mark.parametrize(
    ("settings_of", "config", "inside"),
    [
        (adapterhub_config.settings_of, BOTTLENECK, True),
        (adapterhub_config.settings_of, {"config": BOTTLENECK, "model_type": "t5"}, False),
        *((peft.settings_of, config, False) for config in (LORA, IA3, PROMPT)),
    ],
)
def test_whatever_a_config_holds_is_read_or_refused(settings_of, config, inside):
    def outcome(changed):
        changed = {"config": changed} if inside else changed
        held = {"shared_parameters.a.phm_rule": torch.zeros(())}
        try:
            return settings_of(Foreign(Path("here"), "a library", changed, held), TINY)
        except UsageError as error:
            return error

    assert not isinstance(outcome(config), UsageError)
    outcomes = [outcome({**config, key: value}) for key in config for value in ODD]
    assert any(isinstance(found, UsageError) for found in outcomes)


@pytest.mark.parametrize(
    ("name", "preset", "fits"),
    [
        ("t5-base", "t5_base_multi", True),
        ("google-t5/t5-base", "t5_base_multi", True),
        ("t5-base", "t5_1.1_base", False),  # as wide and as deep
        ("google/t5-v1_1-base", "t5_base_multi", False),
        ("google/flan-t5-base", "t5_1.1_base", True),  # the same dimensions: no way to tell
        ("somebody/else", "t5_1.1_base", True),
        (None, "t5_1.1_base", True),
    ],
)
def test_a_known_t5_of_other_dimensions_is_refused(tmp_path, name, preset, fits):
    adapter = Foreign(tmp_path, "a library", {}, {})
    if fits:
        check_base(adapter, name, PRESETS[preset])
        return
    with pytest.raises(UsageError, match=f"it was trained on {name}"):
        check_base(adapter, name, PRESETS[preset])
