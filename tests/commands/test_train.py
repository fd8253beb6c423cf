import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.commands.evaluate import evaluate
from compacter_cli.commands.plan import plan
from compacter_cli.errors import UsageError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe, recipe_of
from compacter_cli.training import run as command
from compacter_cli.training.display import Display
from compacter_cli.training.run import train
from compacter_cli.training.run_directory import is_run, run_directory

DEMO = "demo/smoke_compacterpp"
SMALL = ("train.epochs=1", "train.warmup_steps=1", "data.max_train_samples=40")
RUN_FILES = [
    "best/README.md",
    "best/adapter.json",
    "best/adapter.safetensors",
    "environment.json",
    "last/adapter.json",
    "last/adapter.safetensors",
    "metrics.jsonl",
    "predictions.jsonl",
    "recipe.toml",
    "result.json",
]
OF_THE_COMMAND = sorted([*RUN_FILES, "log.txt"])  # which alone keeps what it says


@pytest.fixture(autouse=True)
def quick(keras, monkeypatch):
    """Without the collection of garbage, which takes longer than an epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture
def run(smoke_run, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(smoke_run, tmp_path / "run")


@pytest.fixture
def untrained(monkeypatch):
    """Fails a test that goes on to train."""
    monkeypatch.setattr(command, "train", lambda **_: pytest.fail("went on to train"))


def call(*args, recipe=DEMO, small=True):
    sets = [part for text in SMALL for part in ("--set", text)] if small else []
    quick = ["--no-estimate"] if "--dry-run" in args else []
    arguments = ["train", "--recipe", recipe, *sets, *quick, *map(str, args)]
    return CliRunner().invoke(app, arguments)


def assert_one_line(result, code):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    }


def lines_of(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


# What a run leaves.


def test_a_run_leaves_exactly_the_files_that_are_documented(smoke_run):
    assert sorted(files(smoke_run)) == RUN_FILES


def test_metrics_have_a_line_for_every_update_and_epoch(smoke_run):
    lines = lines_of(smoke_run)
    kinds = ["update"] * 30 + ["epoch"] + ["update"] * 30 + ["epoch"]  # 600 examples by 20
    assert [line.pop("kind") for line in lines] == kinds
    updates = [line for line in lines if "gradient_norm" in line]
    epochs = [line for line in lines if "validation" in line]
    assert [line["step"] for line in updates] == list(range(1, 61))
    assert [line["epoch"] for line in updates] == [1] * 30 + [2] * 30
    for line in updates:
        assert set(line) == {"step", "epoch", "loss", "learning_rate", "gradient_norm"}
        assert math.isfinite(line["loss"])
        assert line["gradient_norm"] > 0
    # By hand: peak 1e-2, ten steps of warm-up, then down to 0 at step 60.
    rates = [line["learning_rate"] for line in updates]
    assert rates[:3] == pytest.approx([0.0, 1e-3, 2e-3])
    assert rates[10] == pytest.approx(1e-2)
    assert rates[35] == pytest.approx(5e-3)
    assert rates[59] == pytest.approx(1e-2 / 50)
    assert [(line["number"], line["step"]) for line in epochs] == [(1, 30), (2, 60)]
    for number, line in enumerate(epochs):
        losses = [update["loss"] for update in updates[30 * number : 30 * number + 30]]
        assert line["loss"] == pytest.approx(sum(losses) / 30)
        assert set(line["validation"]) == {"metrics", "majority", "count", "invalid", "mean"}
    assert epochs[1]["loss"] < epochs[0]["loss"]


def test_the_result_says_what_was_trained_and_how_it_scored(smoke_run):
    result = json.loads((smoke_run / "result.json").read_text())
    assert result["task"] == "demo/smoke"
    assert result["method"] == "compacterpp"
    assert result["preset"] == "random/tiny"
    assert (result["seed"], result["epochs"]) == (42, 2)
    # By hand: 4 sites x 2 x (64 + 24), A 4^3, biases 4 x (64 + 24), 12 norms of 64.
    assert result["trained_parameters"] == 704 + 64 + 352 + 768 == 1888
    assert result["backbone_parameters"] == 173_056
    assert result["trained_percent"] == pytest.approx(100 * 1888 / 173_056)
    for split in ("validation", "test"):
        assert result[split]["count"] == 100
        assert result[split]["mean"] == result[split]["metrics"]["accuracy"]
        assert 0 <= result[split]["mean"] <= 100
    assert result["paper"] is None
    assert result["run"] == str(smoke_run)
    assert result["adapter_bytes"] == (smoke_run / "best/adapter.safetensors").stat().st_size
    assert result["training_seconds"] > 0
    assert result["peak_memory_bytes"] > 10**7
    assert result["data"] == {"way": "generated"}
    epochs = [line for line in lines_of(smoke_run) if line["kind"] == "epoch"]
    best = max(epochs, key=lambda line: (line["validation"]["mean"], -line["number"]))
    assert result["best_epoch"] == best["number"]
    assert result["validation"] == best["validation"]


def test_the_adapter_of_a_run_holds_exactly_what_the_method_declares(smoke_run):
    tensors = load_adapter(smoke_run / "best").tensors
    norms = {name for name in tensors if name.endswith("layer_norm")}
    assert len(norms) == 12
    assert {
        name for name in tensors if name not in norms and ".feed_forward.adapter." not in name
    } == {"rule.A"}
    assert sum(tensor.numel() for tensor in tensors.values()) == 1888
    changed = [name for name in norms if not torch.equal(tensors[name], torch.ones(64))]
    assert len(changed) == 12


def test_the_recipe_of_a_run_is_the_recipe_it_was_given(smoke_run):
    given = load_recipe(DEMO, ["train.epochs=2", "train.warmup_steps=10"])
    assert load_recipe(str(smoke_run / "recipe.toml")) == given


# The command.


def test_the_command_trains_and_says_what_comes_next(tmp_path):
    result = call("--output", tmp_path / "run", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert sorted(files(tmp_path / "run")) == OF_THE_COMMAND
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    longer = f"--recipe {tmp_path / 'run'}/recipe.toml --set train.epochs=4\n"
    assert f"next: compacter train {longer}" in result.stdout  # no answer is a label yet
    assert f"{found['test']['metrics']['accuracy']:.2f}" in result.stdout
    assert "trained 1,888 of 173,056 parameters (1.0910 %)" in result.stdout
    for text in ("step 1/2", "step 2/2", "epoch 1: loss", "40 train, 100 validation, 100 test"):
        assert text in result.stderr
    assert "epoch 1:" not in result.stdout


def test_json_prints_the_result_and_nothing_else(tmp_path):
    result = call("--output", tmp_path / "run", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "run" / "result.json").read_text())
    assert result.stderr == ""


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        torch.manual_seed(len(name))  # what went before must not matter
        result = call(
            "--output", name, "--seed", seed, "--device", "cpu", "--set", "train.dropout=0.1"
        )
        assert result.exit_code == 0, result.output
    one, again, other = (files(name) for name in ("one", "again", "other"))
    for name in ("metrics.jsonl", "recipe.toml", "best/adapter.safetensors", "best/adapter.json"):
        assert again[name] == one[name]
        assert other[name] != one[name]
    assert load_recipe("other/recipe.toml").seed == 6


def test_without_an_output_a_run_goes_to_its_own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(DEMO, [*SMALL, "seed=7"])
    result = call("--seed", 7, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert is_run(run_directory(recipe))
    assert json.loads(result.stdout)["run"] == str(run_directory(recipe))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_run_that_is_there_exits_2_and_stays_as_it_is(run, untrained):
    before = files(run)
    result = call("--output", run)
    assert "holds a run already (finished)" in assert_one_line(result, 2)
    assert "--overwrite" in result.stderr
    assert files(run) == before


def test_overwrite_replaces_a_run(run):
    before = files(run)
    (run / "last" / "stale.txt").write_text("of before")
    result = call("--output", run, "--overwrite", "--seed", 3, "--device", "cpu")
    assert result.exit_code == 0, result.output
    after = files(run)
    assert sorted(after) == OF_THE_COMMAND
    same = [name for name in RUN_FILES if after[name] == before[name]]
    assert same in ([], ["environment.json"])
    assert len(lines_of(run)) == 3
    assert load_recipe(str(run / "recipe.toml")).seed == 3


def test_an_overwrite_that_cannot_begin_leaves_the_run_before_it(run):
    before = files(run)
    line = assert_one_line(call("--output", run, "--overwrite", "--device", "tpu"), 2)
    assert "tpu" in line
    assert files(run) == before


def test_a_directory_that_is_no_run_is_refused_even_with_overwrite(tmp_path, untrained):
    (tmp_path / "thesis.tex").write_text("years of work")
    line = assert_one_line(call("--output", tmp_path, "--overwrite"), 2)
    assert "is not a run" in line
    assert files(tmp_path) == {"thesis.tex": b"years of work"}


def test_an_unknown_recipe_exits_2_and_names_the_nearest(untrained):
    result = call(recipe="demo/smoke_compactor")
    assert 'no recipe "demo/smoke_compactor"' in assert_one_line(result, 2)
    assert "demo/smoke_compacterpp" in result.stderr


def test_a_recipe_with_problems_exits_2_and_lists_them(untrained):
    result = call("--set", "train.epoch=3", "--set", "method.n=5")
    assert "problems in demo/smoke_compacterpp.toml" in assert_one_line(result, 2)
    for text in ("train.epoch", "did you mean", "epochs", "method.n", "64 % 5 = 4"):
        assert text in result.stderr


@pytest.mark.parametrize("dry", [False, True])
def test_a_preset_that_is_missing_offline_exits_3(tmp_path, monkeypatch, untrained, dry):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    result = call(
        "--offline", "--output", tmp_path / "run", "--set", "backbone.preset=t5_small_multi",
        *(["--dry-run"] if dry else []),
    )  # fmt: skip
    line = assert_one_line(result, 3)
    assert "t5_small_multi" in line
    assert "--offline" in line
    assert not (tmp_path / "run").exists()


def test_data_that_is_missing_offline_exits_3(tmp_path, monkeypatch, untrained):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    result = call(
        "--offline", "--set", "backbone.preset=random/tiny", "--set", f"data.data_dir={tmp_path}",
        recipe="glue/rte_compacterpp", small=False,
    )  # fmt: skip
    assert "glue/rte" in assert_one_line(result, 3)


# A dry run.


def test_a_dry_run_prints_the_plan(tmp_path, monkeypatch, untrained):
    monkeypatch.chdir(tmp_path)
    result = call("--dry-run", "--seed", 9, "--set", "train.epochs=3")
    assert result.exit_code == 0, result.output
    recipe = load_recipe(DEMO, [*SMALL, "seed=9", "train.epochs=3"])
    for text in ("seed = 9", "epochs = 3", "trains   1,888 parameters (1.0910 %)", "6 updates"):
        assert text in result.stdout
    assert str(run_directory(recipe)) in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_is_that_of_the_run(rte_folder, tmp_path):
    recipe = load_recipe("glue/rte_compacterpp", ["backbone.preset=random/tiny", *SMALL[2:]])
    with pytest.raises(UsageError):
        plan(recipe=load_recipe(DEMO), directory=Path(__file__).parent)
    data = recipe.data.model_copy(update={"folder": str(rte_folder), "max_train_samples": None})
    recipe = recipe.model_copy(update={"data": data})
    found = plan(recipe=recipe, directory=tmp_path / "run")
    assert found["updates"] == 500  # 25 steps of 100 of the 2,490, 20 epochs: the protocol's
    assert found["run"] == str(tmp_path / "run")
    assert found["recipe"]["train"]["epochs"] == 20
    assert recipe_of(found["recipe"], "plan") == recipe
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--resume", "--overwrite"], "--resume goes on and --overwrite begins again"),
        (["--strict"], "--strict is of --resume"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_options_that_do_not_go_together_are_refused(untrained, tmp_path, options, said, dry):
    result = call(*options, *dry, "--output", tmp_path / "run")
    assert said in assert_one_line(result, 2)


def test_a_finished_run_that_was_moved_tells_where_it_is(run, tmp_path):
    moved = run.rename(tmp_path / "moved")
    recipe = str(moved / "recipe.toml")
    result = call("--resume", "--json", "--output", moved, recipe=recipe, small=False)
    assert json.loads(result.stdout)["run"] == str(moved)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_watcher_that_is_not_installed_is_told_before_anything_begins(
    dry, tmp_path, monkeypatch, untrained
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = call(*dry, "--set", 'output.watch=["wandb"]', "--output", tmp_path / "run")
    assert '"wandb" needs a package that is not installed' in assert_one_line(result, 2)
    assert 'pip install "compacter[wandb]"' in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_watcher_that_nobody_knows_is_told_with_those_there_are(tmp_path):
    result = call("--dry-run", "--set", 'output.watch=["tensorbord"]', "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert "output.watch" in result.stderr
    assert "wandb" in result.stderr


def test_a_dry_run_of_a_resume_says_how_far_the_run_is(run, untrained):
    free, finished = (
        call(
            "--dry-run", "--resume", "-o", place, recipe=str(run / "recipe.toml"), small=False
        ).stdout
        for place in (run.parent / "x", run)
    )
    assert "where it begins" in " ".join(free.split())
    assert "where it is finished: there is nothing to do" in " ".join(finished.split())


def test_a_dry_run_says_that_the_directory_is_taken(run, untrained):
    free, taken = (
        call("--dry-run", "--json", "--output", place) for place in (run.parent / "other", run)
    )
    assert not json.loads(free.stdout)["taken"]
    assert json.loads(taken.stdout)["taken"]
    shown = " ".join(call("--dry-run", "--output", run).stdout.split())
    assert "which is taken: --resume goes on with a run, --overwrite replaces it" in shown


def test_a_dry_run_says_what_only_a_run_can_tell(tmp_path, untrained):
    there = ("--dry-run", "--output", tmp_path / "run")
    sentence = "not checked: whether cuda:1 is here, which only torch knows"
    assert sentence in call(*there, "--device", "cuda:1").stdout
    assert json.loads(call(*there, "--device", "cuda:1", "--json").stdout)["unchecked"] == [
        sentence
    ]
    assert json.loads(call(*there, "--device", "cpu", "--json").stdout)["unchecked"] == []


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:-1", "cpu:0", "CPU", "cuda:٣", ""])
def test_a_dry_run_refuses_what_is_no_device(untrained, name):
    line = assert_one_line(call("--dry-run", "--device", name), 2)
    assert f"--device {name}: expected cpu or cuda" in line


def test_a_dry_run_refuses_a_web_page_saved_as_a_zip(tmp_path, untrained):
    (tmp_path / "RTE.zip").write_text("<!doctype html><title>Sign in</title>")
    result = CliRunner().invoke(
        app,
        ["train", "--dry-run", "--no-estimate", "--recipe", "glue/rte_compacterpp", "--set",
         "backbone.preset=random/tiny", "--set", f"data.archive={tmp_path / 'RTE.zip'}"],
    )  # fmt: skip
    assert "not a zip file" in assert_one_line(result, 1)


def test_an_output_that_cannot_be_written_is_told_before_anything_is_loaded(tmp_path, untrained):
    (tmp_path / "file").write_text("mine")
    for options in ((), ("--dry-run",)):
        line = assert_one_line(call(*options, "--output", tmp_path / "file" / "run"), 2)
        assert "cannot write to" in line
        assert "Not a directory" in line


def test_a_dry_run_loads_no_framework_and_writes_nothing(tmp_path):
    code = textwrap.dedent("""
        import json, sys
        from compacter_cli.main import app
        app(["train", "--recipe", "demo/smoke_compacterpp.toml", "--dry-run", "--json"],
            standalone_mode=False)
        heavy = {"keras", "keras_hub", "torch", "tensorflow", "tensorflow_datasets", "scipy"}
        print("loaded", sorted(heavy & set(sys.modules)))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    printed, _, loaded = done.stdout.rpartition("loaded ")
    assert json.loads(printed)["updates"] == 300
    assert loaded == "[]\n"
    assert list(tmp_path.iterdir()) == []


# A run of its own process, on original files, in surroundings that say TensorFlow.


@pytest.fixture(scope="module")
def rte_process(rte_folder, tmp_path_factory):
    """What a process that trained RTE printed, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "originals").symlink_to(rte_folder)
    (folder / "keras_home").mkdir()
    settings = {"backend": "tensorflow", "floatx": "float16"}
    (folder / "keras_home" / "keras.json").write_text(json.dumps(settings))
    code = textwrap.dedent("""
        import sys
        from compacter_cli.main import app
        app(["train", "--recipe", "glue/rte_compacterpp", "--output", "run", "--json",
             "--device", "cpu",
             "--set", "backbone.preset=random/tiny", "--set", "data.folder=originals",
             "--set", "data.max_train_samples=40", "--set", "train.batch_size=20",
             "--set", "train.epochs=1", "--set", "train.warmup_steps=1",
             "--set", "data.source_length=32"], standalone_mode=False)
        import keras
        print("loaded", sys.modules.get("tensorflow"), keras.config.backend(), file=sys.stderr)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, cwd=folder,
        env={
            **os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(folder / "keras_home"),
            "TFDS_DATA_DIR": str(folder / "no_tfds"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, folder


def test_a_training_process_runs_on_torch_without_tensorflow(rte_process):
    done, folder = rte_process
    assert done.stderr.splitlines()[-1] == "loaded None torch"
    tensors = load_adapter(folder / "run" / "best").tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_a_training_process_prints_json_and_nothing_else_to_stdout(rte_process):
    done, folder = rte_process
    result = json.loads(done.stdout)
    assert result == json.loads((folder / "run" / "result.json").read_text())
    assert (result["validation"]["count"], result["test"]["count"]) == (138, 139)
    assert result["paper"] == [74.82]
    assert sorted(files(folder / "run")) == OF_THE_COMMAND


def test_a_run_with_relative_paths_can_be_evaluated_from_elsewhere(
    rte_process, tmp_path, monkeypatch
):
    _, folder = rte_process
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(str(folder / "run" / "recipe.toml"))
    assert recipe.data.folder == str(folder / "originals")
    result = json.loads((folder / "run" / "result.json").read_text())
    found = evaluate(adapter=folder / "run" / "best", recipe=recipe, device="cpu", offline=True)
    assert {key: found[key] for key in result["test"]} == result["test"]


# Ctrl-C.


def test_ctrl_c_exits_130_with_what_was_trained_in_last(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "compacter_cli", "train", "--recipe", DEMO, "--output", "run",
            "--device", "cpu", "--set", "data.max_train_samples=40", "--set", "train.epochs=9999",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    seen = []
    try:
        for line in process.stderr:  # ends should the process die
            seen.append(line)
            if line.startswith("epoch 2:"):
                break
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    said = "".join(seen) + rest
    assert process.returncode == 130, said
    assert "Traceback" not in said
    told = "compacter train --recipe run/recipe.toml --output run --device cpu --resume"
    assert rest.splitlines()[-1].startswith("interrupted after update ")
    assert rest.splitlines()[-1].endswith(f"saved whole; go on with: {told}")
    assert out == ""
    run = tmp_path / "run"
    assert load_adapter(run / "last").manifest["task"] == "demo/smoke"
    assert load_adapter(run / "best").manifest["metrics"]["epoch"] >= 1
    written = [name for name in sorted(files(run)) if not name.startswith("state/")]
    not_yet = ("best/README.md", "predictions.jsonl", "result.json")
    assert written == [name for name in OF_THE_COMMAND if name not in not_yet]
    assert all(line["kind"] in ("update", "epoch") for line in lines_of(run))


def test_ctrl_c_in_the_command_exits_130_without_a_traceback(tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Pressing(Display):
        def update(self, update):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("compacter_cli.commands.progress.display_for", lambda quiet: Pressing())
    try:
        result = call("--output", tmp_path / "run", "--device", "cpu")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert f"--output {tmp_path / 'run'} --device cpu --resume" in result.stderr
    load_adapter(tmp_path / "run" / "last")
    assert not (tmp_path / "run" / "best").exists()


# The function.


def test_the_function_returns_the_result_and_shows_nothing(tmp_path, capfd):
    recipe = load_recipe(DEMO, SMALL)
    result = train(recipe=recipe, directory=tmp_path / "run", device="cpu")
    assert result == json.loads((tmp_path / "run" / "result.json").read_text())
    assert capfd.readouterr() == ("", "")


def test_the_function_refuses_a_taken_directory_too(run):
    before = files(run)
    with pytest.raises(UsageError, match="holds a run already"):
        train(recipe=load_recipe(DEMO, SMALL), directory=run, device="cpu")
    assert files(run) == before
