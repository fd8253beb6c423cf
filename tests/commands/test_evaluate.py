import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.commands import evaluate as command
from compacter_cli.commands.evaluate import evaluate
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe, recipe_of
from compacter_cli.t5.loading import load_backbone
from compacter_cli.training.run import train
from compacter_cli.training.run_directory import read_result


@pytest.fixture(autouse=True)
def quick(keras, monkeypatch):
    """Without the collection of garbage, which takes longer than an epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture
def run(smoke_run, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(smoke_run, tmp_path / "run")


def call(*args):
    return CliRunner().invoke(app, ["evaluate", "--device", "cpu", *map(str, args)])


def scores_of(found):
    """What a split's scores are in result.json."""
    return {key: found[key] for key in ("metrics", "majority", "count", "invalid", "mean")}


def assert_one_line(result, code):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("next: ") for line in lines[1:])
    assert len(lines) <= 2
    return lines[0]


@pytest.mark.slow
def test_a_fresh_process_elsewhere_repeats_the_test_scores_exactly(smoke_run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "compacter_cli", "evaluate", "--run", str(smoke_run), "--json",
         "--device", "cpu"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # nothing but JSON
    result = read_result(smoke_run)
    assert scores_of(found) == result["test"]
    assert found["recorded"] == result["test"]["metrics"]
    assert found["split"] == "test"
    assert found["count"] == 100
    assert found["adapter"] == str(smoke_run / "best")
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_the_validation_scores_are_repeated_too(smoke_run):
    result = call("--run", smoke_run, "--split", "validation", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert scores_of(found) == read_result(smoke_run)["validation"]
    assert found["recorded"] == found["metrics"]


def test_the_scores_are_shown_beside_what_the_run_recorded(smoke_run):
    result = call("--run", smoke_run)
    assert result.exit_code == 0, result.output
    recorded = read_result(smoke_run)["test"]
    assert "demo/smoke, test: 100 examples" in result.stdout
    assert f"{recorded['metrics']['accuracy']:.2f}" in result.stdout
    assert f"{recorded['majority']['accuracy']:.2f}" in result.stdout
    assert "the same, to every digit, as the run recorded" in result.stdout


def test_scores_that_differ_from_the_record_are_said_to(run):
    path = run / "result.json"
    result = json.loads(path.read_text())
    result["test"]["metrics"]["accuracy"] = 12.5
    path.write_text(json.dumps(result))
    shown = call("--run", run).stdout
    assert "exactly" not in shown
    assert "the run recorded" in shown
    assert "12.5" in shown


def test_the_last_adapter_has_no_record_to_compare_with(smoke_run):
    result = call("--run", smoke_run, "--which", "last", "--split", "validation", "--json")
    found = json.loads(result.stdout)
    epochs = [
        json.loads(line)
        for line in (smoke_run / "metrics.jsonl").read_text().splitlines()
        if '"epoch"' in line.partition(",")[0]
    ]
    assert found["recorded"] is None
    assert found["metrics"] == epochs[-1]["validation"]["metrics"]
    assert found["adapter"].endswith("last")


def test_the_train_split_is_the_one_that_was_trained_on(run):
    result = call("--run", run, "--split", "train", "--set", "data.max_train_samples=30", "--json")
    found = json.loads(result.stdout)
    assert (found["split"], found["count"]) == ("train", 30)
    assert found["recorded"] is None


def test_an_unfinished_run_can_be_evaluated(run):
    (run / "result.json").unlink()
    result = call("--run", run)
    assert result.exit_code == 0, result.output
    assert "recorded" not in result.stdout


@pytest.mark.parametrize(
    ("method", "precision"), [("compacter", "bfloat16"), ("full", "float32"), ("full", "bfloat16")]
)
def test_other_methods_and_precisions_are_repeated_exactly(tmp_path, method, precision):
    tables = {
        "task": "demo/smoke",
        "backbone": {"preset": "random/tiny", "precision": precision},
        "method": {"name": method},
        "train": {"epochs": 1, "batch_size": 20, "warmup_steps": 1, "learning_rate": 1e-2},
        "data": {"max_train_samples": 40, "source_length": 32},
    }
    recipe = recipe_of(tables, "made up")
    result = train(recipe=recipe, directory=tmp_path / "run", device="cpu")
    reloaded = load_recipe(str(tmp_path / "run" / "recipe.toml"))
    found = evaluate(adapter=tmp_path / "run" / "best", recipe=reloaded, device="cpu")
    assert scores_of(found) == result["test"]


# Errors.


def test_an_unknown_split_or_option_exits_2(smoke_run):
    assert call("--run", smoke_run, "--split", "dev").exit_code == 2
    assert call("--run", smoke_run, "--spilt", "test").exit_code == 2
    assert call("--split", "test").exit_code == 2


def test_a_directory_that_is_no_run_exits_2(tmp_path):
    line = assert_one_line(call("--run", tmp_path), 2)
    assert f"{tmp_path} is no run directory" in line


def test_an_unknown_device_exits_2(smoke_run):
    result = CliRunner().invoke(app, ["evaluate", "--run", str(smoke_run), "--device", "tpu"])
    assert "--device tpu" in assert_one_line(result, 2)


def test_an_unknown_adapter_exits_2_and_says_which_there_are(smoke_run):
    line = assert_one_line(call("--run", smoke_run, "--which", "frist"), 2)
    assert line.startswith(f"error: --which frist: the adapters of {smoke_run} are best and last")


def test_the_former_name_of_which_exits_2_and_names_the_new_one(smoke_run):
    result = call("--run", smoke_run, "--adapter", "last")
    assert "--adapter is called --which now" in assert_one_line(result, 2)
    assert "next: --which last" in result.stderr


CHANGES = [
    ("method.n=2", "method.n = 2", "4"),
    ("method.bottleneck=12", "method.bottleneck = 12", "24"),
    ("task=demo/entailment", "task = demo/entailment", "demo/smoke"),
    ("seed=7", "seed = 7", "42"),
    ("train.epochs=9", "train.epochs = 9", "2"),
    ("train.learning_rate=1e-5", "train.learning_rate = 1e-05", "0.01"),
]


@pytest.mark.parametrize(("change", "said", "trained"), CHANGES)
def test_what_would_be_another_adapter_exits_2_before_anything_loads(
    run, monkeypatch, change, said, trained
):
    monkeypatch.setattr(command, "evaluate", lambda **_: pytest.fail("loaded it"))
    line = assert_one_line(call("--run", run, "--set", change), 2)
    assert line.startswith(
        f"error: {said}: the adapter in {run / 'best'} was trained with {trained},"
    )


def test_a_value_that_is_the_trained_one_is_no_change(run):
    changes = ["--set", "method.n=4", "--set", "train.epochs=2", "--set", "seed=42"]
    assert "the same, to every digit, as the run recorded" in call("--run", run, *changes).stdout


def test_a_corrupt_adapter_exits_1_in_one_line(run):
    path = run / "best" / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    line = assert_one_line(call("--run", run), 1)
    assert str(path) in line
    assert "is damaged" in line


def test_a_corrupt_manifest_exits_1_in_one_line(run):
    (run / "best" / "adapter.json").write_text('{"format": ')
    assert "adapter.json is damaged" in assert_one_line(call("--run", run), 1)


@pytest.mark.parametrize("text", ["", "task = "])
def test_a_run_with_a_damaged_recipe_is_scored_by_the_adapters_own(run, text):
    (run / "recipe.toml").write_text(text)
    assert "the same, to every digit, as the run recorded" in call("--run", run).stdout


@pytest.mark.parametrize(
    "text",
    ["", '{"test": ', "[1]", "{}", '{"test": null}', '{"test": {"metrics": [1], "count": "x"}}',
     '{"data": 1, "test": {"metrics": {}, "count": 1}}', "[" * 100_000],
)  # fmt: skip
def test_a_corrupt_record_is_noted_and_the_scores_stand_without_it(run, text):
    (run / "result.json").write_text(text)
    result = call("--run", run)
    assert result.exit_code == 0, result.output
    assert "result.json is damaged" in result.stderr
    assert "the scores are compared with nothing" in result.stderr
    assert "accuracy" in result.stdout
    assert "recorded" not in result.stdout


def test_an_adapter_of_another_backbone_exits_1_with_both_fingerprints(run, tmp_path):
    other = load_backbone("random/tiny")
    trained_on = other.fingerprint
    other.keras.token_embedding.embeddings.assign(other.keras.token_embedding.embeddings * 1.5)
    preset = tmp_path / "other_preset"
    other.keras.save_to_preset(str(preset))
    (preset / "assets" / "tokenizer").mkdir(parents=True)
    (preset / "assets" / "tokenizer" / "vocabulary.spm").write_bytes(other.vocabulary.proto)
    found = load_backbone(str(preset)).fingerprint
    assert found != trained_on == read_manifest(run / "best")["backbone"]["fingerprint"]
    line = assert_one_line(call("--run", run, "--set", f"backbone.preset={preset}"), 1)
    assert "was trained on another backbone" in line
    for word in (trained_on[:12], found[:12], "random/tiny", str(preset)):
        assert word in line


def test_a_preset_that_is_missing_offline_exits_3_at_once(run, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "compacter_cli.commands.evaluate.evaluate", lambda **_: pytest.fail("tried to load it")
    )
    result = call("--run", run, "--set", "backbone.preset=t5_small_multi", "--offline")
    assert "t5_small_multi" in assert_one_line(result, 3)


# A pretrained preset and real data.


@pytest.mark.slow
@pytest.mark.real_preset
@pytest.mark.real_data
def test_rte_on_a_pretrained_preset_is_repeated_exactly(real_preset, real_data, tmp_path):
    recipe = load_recipe(
        "glue/rte_compacterpp",
        [
            f"backbone.preset={real_preset}",
            f"data.folder={real_data}",
            "data.max_train_samples=64",
            "train.epochs=1",
            "train.batch_size=16",
            "train.warmup_steps=1",
        ],
    )
    result = train(recipe=recipe, directory=tmp_path / "run", device="cpu")
    assert (result["validation"]["count"], result["test"]["count"]) == (138, 139)
    assert result["paper"] == [74.82]
    updates = [
        json.loads(line)
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if '"update"' in line
    ]
    assert len(updates) == 4
    shown = call("--run", tmp_path / "run", "--json")
    assert shown.exit_code == 0, shown.output
    assert scores_of(json.loads(shown.stdout)) == result["test"]


# A file of one's own.


@pytest.fixture(scope="module")
def own_run(keras, tmp_path_factory):
    """A run on rows of one's own, of which the files are gone, and a file of other rows."""
    folder = tmp_path_factory.mktemp("own")
    rows = [{"text": text, "kind": "ny"[at % 2]} for at, text in enumerate(["iron", "plum"] * 20)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "train.jsonl").write_text("".join(lines))
    data = {"train": str(folder / "train.jsonl"), "source": "{text}", "target": "{kind}"}
    recipe = recipe_of(
        {
            "task": "jsonl",
            "backbone": {"preset": "random/tiny"},
            "method": {"name": "compacterpp"},
            "data": {**data, "labels": ["n", "y"]},
            "train": {"epochs": 1, "batch_size": 20, "warmup_steps": 1},
        },
        "the recipe",
    )
    train(recipe=recipe.resolved(), directory=folder / "run", device="cpu")
    (folder / "train.jsonl").rename(folder / "others.jsonl")
    return folder


@pytest.mark.parametrize("options", [(), ("--which", "last")])
def test_a_file_is_scored_whole_without_those_that_were_trained_on(own_run, options):
    file = own_run / "others.jsonl"
    result = call("--run", own_run / "run", "--file", file, "--json", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["count"] == 40
    assert found["data"]["path"] == str(file)
    assert found["recorded"] is None
    assert found["majority"] == {"accuracy": 50.0}
    shown = call("--run", own_run / "run", "--file", file, *options)
    assert f"jsonl, {file}: 40 examples" in shown.stdout
    assert "trained on" not in shown.stderr


def test_a_file_that_cannot_be_scored_is_told(own_run, smoke_run):
    run, file = own_run / "run", own_run / "others.jsonl"
    said = assert_one_line(call("--run", run, "--file", own_run / "rows.csv"), 2)
    assert "this adapter is scored on jsonl files" in said
    said = assert_one_line(call("--run", run, "--file", own_run / "gone.jsonl"), 3)
    assert "--file: there is no file" in said
    assert "got both" in assert_one_line(call("--run", run, "--file", file, "--split", "test"), 2)
    said = assert_one_line(call("--run", smoke_run, "--file", file), 2)
    assert "this adapter is scored on the rows of demo/smoke" in said
