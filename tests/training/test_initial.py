"""Runs that start from another run's adapter, and runs that end early."""

import json
import shutil

import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training.display import Display
from compacter_cli.training.initial import check_initial
from compacter_cli.training.run import train

SMALL = ("train.epochs=1", "train.warmup_steps=1", "data.max_train_samples=40")


def recipe_of(*overrides):
    return load_recipe("demo/smoke_compacterpp", [*SMALL, *overrides])


def trained(directory, *overrides, **options):
    return train(recipe=recipe_of(*overrides), directory=directory, device="cpu", **options)


class Stopped(Display):
    """Ctrl-C comes after an update."""

    def __init__(self, step):
        self.step, self.lines = step, []

    def update(self, update):
        if update.step == self.step:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_starts_from_the_adapter_and_says_so(smoke_run, tmp_path):
    # At a rate of almost nothing the weights stay those that it began with.
    still = ("train.learning_rate=1e-30", f"train.init_from={smoke_run}")
    result = trained(tmp_path / "run", *still)
    before, after = load_adapter(smoke_run / "best"), load_adapter(tmp_path / "run" / "best")
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(before.tensors[name], after.tensors[name]) for name in before.tensors)
    started = {"task": "demo/smoke", "sha256": before.manifest["sha256"]}
    assert result["started_from"] == started == after.manifest["started_from"]
    assert started["sha256"] in (tmp_path / "run" / "best" / "README.md").read_text()
    assert load_recipe(str(tmp_path / "run" / "recipe.toml")).train.init_from == str(smoke_run)


def test_an_interrupted_run_goes_on_without_the_adapter_that_it_began_with(smoke_run, tmp_path):
    source = shutil.copytree(smoke_run, tmp_path / "source")
    whole = trained(tmp_path / "whole", f"train.init_from={source}")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", f"train.init_from={source}", display=Stopped(1))
    shutil.rmtree(source)
    again = trained(tmp_path / "cut", f"train.init_from={source}", resume=True)
    assert again["started_from"] == whole["started_from"]
    adapters = [
        (tmp_path / n / "best" / "adapter.safetensors").read_bytes() for n in ("whole", "cut")
    ]
    assert adapters[0] == adapters[1]


def test_what_cannot_be_started_from_is_refused_by_name(smoke_run, tmp_path):
    with pytest.raises(UsageError, match=r"method\.bottleneck = 8 there, 16 here") as caught:
        check_initial(
            recipe_of(f"train.init_from={_with_bottleneck(smoke_run, tmp_path, 8)}",
                      "method.bottleneck=16"),
            tmp_path / "run",
        )  # fmt: skip
    assert caught.value.hint == "start from one of the same method and settings"
    with pytest.raises(
        UsageError, match=r"trains: method\.name = compacterpp there, bitfit here\n"
    ):
        check_initial(
            recipe_of("method={name='bitfit'}", f"train.init_from={smoke_run}"), tmp_path / "run"
        )
    with pytest.raises(UsageError, match="lies in"):
        check_initial(recipe_of(f"train.init_from={smoke_run}"), smoke_run)
    with pytest.raises(CompacterError, match="no adapter in"):
        check_initial(recipe_of(f"train.init_from={tmp_path}"), tmp_path / "run")


def _with_bottleneck(run, folder, size):
    """A copy of a run's adapter whose manifest says that its bottleneck is `size`."""
    copy = shutil.copytree(run / "best", folder / "other")
    manifest = read_manifest(copy)
    manifest["method"]["bottleneck"] = manifest["recipe"]["method"]["bottleneck"] = size
    manifest.pop("manifest_sha256")
    (copy / "adapter.json").write_text(json.dumps(manifest))
    return copy


# Early stopping.


def test_a_patience_that_ends_nothing_is_refused():
    with pytest.raises(RecipeError, match=r"train\.patience: 3 never ends a training of 3 epochs"):
        recipe_of("train.epochs=3", "train.patience=3")


def test_training_ends_after_so_many_epochs_without_a_better_one(keras, tmp_path):
    # At a rate of almost nothing every epoch scores as the first, none of whose answers is a label.
    given = ("train.epochs=9", "train.patience=2", "train.learning_rate=1e-30")
    result = trained(tmp_path / "run", *given)
    assert (result["ended"], result["epochs"], result["epochs_trained"]) == ("patience", 9, 3)
    assert (result["best_epoch"], result["updates"]) == (3, 6)  # 40 rows by 20
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum('"epoch"' in line and '"validation"' in line for line in lines) == 3


def test_patience_is_kept_over_an_interruption(keras, tmp_path):
    given = ("train.epochs=9", "train.patience=2", "train.learning_rate=1e-30")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", *given, display=Stopped(5))  # one stale epoch, and a half
    result = trained(tmp_path / "run", *given, resume=True)
    assert (result["ended"], result["epochs_trained"], result["updates"]) == ("patience", 3, 6)


def test_a_run_without_patience_ends_after_all_epochs(smoke_run):
    result = json.loads((smoke_run / "result.json").read_text())
    assert (result["ended"], result["epochs_trained"]) == ("epochs", 2)
    assert "started_from" not in result
