"""The comparison with peers: its ratios by hand, ours alone, and both where adapters is there."""

import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "against_peers.py"
SMALL = ["--shape", "tiny", "--batch", "2", "--source", "8", "--threads", "1", "--runs", "2"]
PEERS = importlib.util.find_spec("adapters") is not None


@pytest.fixture
def script(monkeypatch):
    """The script's names; nothing is run."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    yield runpy.run_path(str(SCRIPT))
    sys.modules.pop("setting", None)


def run(*options):
    command = [sys.executable, str(SCRIPT), *SMALL, *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_ratios_are_ours_over_the_peers(script):
    ours = {"runs_ms": [1.0, 2.0, 9.0], "step_ms": 2.0, "saved_bytes": 35, "growth_bytes": 50}
    peer = {"runs_ms": [2.0, 2.0, 3.0], "step_ms": 2.5, "saved_bytes": 100, "growth_bytes": 100}
    assert script["ratios"]({"ours": ours, "peer": peer}) == {
        "paired": 1.0, "step_ms": 0.8, "saved_bytes": 0.35, "growth_bytes": 0.5
    }  # fmt: skip
    assert script["ratios"]({"ours": ours}) is None


def test_growth_is_of_the_batch_the_depth_and_the_length_alone(script):
    setting = script["Setting"](method="compacter", batch=16)
    _, *found = script["cases"](setting, growth=[2, 4])
    batches, depths = [(32, 6, 128), (64, 6, 128)], [(16, 12, 128), (16, 24, 128)]
    sizes = [(s.batch, s.dimensions.num_layers, s.source) for s in found]
    assert sizes == [*batches, *depths, (16, 6, 256), (16, 6, 512)]
    assert script["cases"](setting, growth=()) == [setting]


def test_lengths_by_rule_are_1_3_tokens_a_word_and_3_a_name(script):
    vocabulary = sys.modules["setting"].RuleOfThumb()
    texts = ["0", "one two three four five six seven eight nine ten", "sentence1: A dog. hypo: No."]
    assert [len(ids) for ids in vocabulary.encode(texts)] == [1, 13, 10]
    assert vocabulary.longest(texts) == (texts[1], 14)


def test_what_is_compared_must_be_known():
    for wrong in (["--method", "lowrank"], ["--rte", "folder"], ["--json", "no/folder/x.json"]):
        done = run(*wrong)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error: ")


def test_ours_runs_with_a_share_of_a_real_epoch(rte_folder, tmp_path):
    rte = ("--rte", str(rte_folder), "--vocabulary", "random/tiny", "--share", "0.003")
    done = run("--method", "compacterpp", *rte, "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())
    ours = found["ours"]
    assert ours["trained"] == 4 * (2 * (64 + 16) + 64 + 16) + 64 + 12 * 64  # adapters, A, norms
    assert len(ours["runs_ms"]) == len(ours["epochs_s"]) == 2
    assert ours["saved_bytes"] > 0
    assert all(ours["operations"][part] > 0 for part in ("forward", "backward", "optimizer"))
    assert "compacterpp tiny 2x8" in done.stdout
    assert (found["ratios"] is None) == (not PEERS)


def test_the_ranks_of_lora_are_the_settings(script):
    lora = script["Setting"](method="lora", rank=5)
    assert sys.modules["setting"].recipe_for(lora).method.rank == 5


def test_a_method_without_a_peer_runs_alone(script, capsys):
    assert script["sides_of"](script["Setting"](method="lphm")) == ("ours",)
    assert "lphm has no peer: ours runs alone" in capsys.readouterr().err


@pytest.mark.peers
@pytest.mark.skipif(not PEERS, reason="adapters is not installed (the extra `peers`)")
@pytest.mark.parametrize("method", ["compacter", "compacterpp", "adapter", "full", "lora", "ia3"])
def test_both_sides_train_the_same_number_of_parameters(method, tmp_path):
    done = run("--method", method, "--rank", "3", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert found["ours"]["trained"] == found["peer"]["trained"]
    assert found["ratios"]["step_ms"] > 0
