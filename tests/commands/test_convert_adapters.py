"""Adapters of other programs on the command line: to a run and back, refused whole, all or none."""

import hashlib
import json
import shlex

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.main import app

HERE = ["--set", "task=demo/smoke", "--set", "backbone.preset=random/tiny"]


def call(*args):
    return CliRunner().invoke(app, [*map(str, args), "--device", "cpu"])


def refused(result, code):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("next: ")
    return error


@pytest.fixture
def theirs(smoke_run, tmp_path):
    """The smoke run's adapter as AdapterHub's."""
    done = call("convert", smoke_run, tmp_path / "theirs", "--to", "adapterhub")
    assert done.exit_code == 0, done.output
    assert "12 layer norms, which were trained too, are in its file" in done.stderr
    assert "; load_adapter of the library adapters takes it" in done.stdout
    return tmp_path / "theirs"


def test_there_and_back_it_is_a_run_that_scores_the_same(smoke_run, theirs, tmp_path):
    back = tmp_path / "back"
    done = call("convert", theirs, back, *HERE, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["to"], found["method"], found["task"]) == (
        "compacter",
        "compacterpp",
        "demo/smoke",
    )
    before, after = load_adapter(smoke_run / "best"), load_adapter(back / "best")
    assert all(torch.equal(after.tensors[n], t) for n, t in before.tensors.items())
    assert after.manifest["method"] == before.manifest["method"]
    assert after.manifest["backbone"] == before.manifest["backbone"]
    assert "origin" not in before.manifest
    assert after.manifest.get("origin") == {
        "program": "AdapterHub",
        "version": "adapters.1.3.0",
        "sha256": {
            name: hashlib.sha256((theirs / name).read_bytes()).hexdigest()
            for name in ("adapter_config.json", "pytorch_adapter.bin")
        },
    }
    scores = [
        json.loads(call("evaluate", "--run", run, "--split", "test", "--json").stdout)["metrics"]
        for run in (smoke_run, back)
    ]
    assert scores[0] == scores[1]


def test_what_to_do_next_is_told_and_works(theirs, tmp_path):
    done = call("convert", theirs, tmp_path / "run", *HERE)
    assert done.exit_code == 0, done.output
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[:2] == ["next:", "compacter"]
    again = call(*words[2:])
    assert again.exit_code == 0, again.output


def test_peft_goes_to_peft_and_into_a_plain_t5(keras, tmp_path):
    """LoRA made by hand, as peft holds it: zero but for one B."""
    ranks = {"r": 2, "lora_alpha": 4, "target_modules": ["q"], "peft_type": "LORA"}
    layers = [
        f"{stack}.block.{n}.layer.0.SelfAttention"
        for stack in ("encoder", "decoder")
        for n in (0, 1)
    ]
    layers += [f"decoder.block.{n}.layer.1.EncDecAttention" for n in (0, 1)]
    tensors = {}
    for layer in layers:
        tensors[f"base_model.model.{layer}.q.lora_A.weight"] = torch.full((2, 64), 0.1)
        tensors[f"base_model.model.{layer}.q.lora_B.weight"] = torch.full((64, 2), 0.2)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(ranks))
    safetensors.torch.save_file(tensors, tmp_path / "lora" / "adapter_model.safetensors")
    folded = call("convert", tmp_path / "lora", tmp_path / "t5", "--to", "keras-hub", *HERE)
    assert folded.exit_code == 0, folded.output
    assert "LoRA on demo/smoke, folded into 6 of " in folded.stdout
    assert f"T5Seq2SeqLM.from_preset('{tmp_path / 't5'}').generate(text)" in folded.stdout
    run = call("convert", tmp_path / "lora", tmp_path / "run", *HERE)
    assert run.exit_code == 0, run.output
    back = call("convert", tmp_path / "run", tmp_path / "back", "--to", "peft")
    assert back.exit_code == 0, back.output
    again = safetensors.torch.load_file(tmp_path / "back" / "adapter_model.safetensors")
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


def test_what_cannot_be_is_one_line_and_leaves_nothing(theirs, smoke_run, tmp_path):
    to = tmp_path / "to"
    assert "does not say what it answers" in refused(call("convert", theirs, to), 2)
    wrong = [*HERE, "--set", "method.n=8"]
    assert "method.n = 8: the adapter in " in refused(call("convert", theirs, to, *wrong), 2)
    assert "no counterpart of compacterpp" in refused(
        call("convert", smoke_run, to, "--to", "peft"), 2
    )
    config = theirs / "adapter_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "config": {**said["config"], "use_gating": True}}))
    assert "use_gating = True" in refused(call("convert", theirs, to, *HERE), 2)
    config.write_text(json.dumps({**said, "config": {**said["config"], "cross_adapter": True}}))
    assert "cross_adapter = True" in refused(call("convert", theirs, to, *HERE), 2)
    (theirs / "pytorch_adapter.bin").write_bytes(b"damaged")
    config.write_text(json.dumps(said))
    assert "cannot read " in refused(call("convert", theirs, to, *HERE), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]


def test_a_full_disk_leaves_nothing(smoke_run, tmp_path, monkeypatch):
    def full(*_):
        assert list(tmp_path.glob("to.new-*/pytorch_adapter.bin"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compacter_cli.exchange.adapterhub.write_config", full)
    done = call("convert", smoke_run, tmp_path / "to", "--to", "adapterhub")
    assert "No space left on device" in refused(done, 1)
    assert list(tmp_path.iterdir()) == []
