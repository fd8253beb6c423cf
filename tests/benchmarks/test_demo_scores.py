"""The demo's measurement: which runs it makes, what it keeps, chooses and writes, by hand."""

import importlib.util
import json
from pathlib import Path

import pytest

from compacter_cli.errors import CompacterError, NotFiniteError
from compacter_cli.pretraining import recipe as pretraining_recipes
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import load_backbone

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "demo_scores.py"
TASK = "demo/entailment"
BY_RATE = {0.001: 60.0, 0.004: 80.0, 0.016: 80.0, 0.064: 50.0}  # validation scores


class Here:
    """A pool of this process."""

    def Pool(self, *_, **__):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    imap_unordered = staticmethod(map)


@pytest.fixture
def script(monkeypatch):
    """The script as a module, its grid that of `BY_RATE`, its runs in this process."""
    spec = importlib.util.spec_from_file_location("demo_scores", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "GRID", tuple(BY_RATE))
    monkeypatch.setattr(module.multiprocessing, "get_context", lambda kind: Here())
    return module


def result(validation, test=70.0, seed=42):
    scores = {"majority": {"accuracy": 50.0}, "count": 500, "invalid": 0}
    return {
        "seed": seed,
        "trained_parameters": 1_234,
        "training_seconds": 9.6,
        "validation": {**scores, "metrics": {"accuracy": validation}, "mean": validation},
        "test": {**scores, "metrics": {"accuracy": test}, "mean": test},
    }


@pytest.fixture
def trained(script, monkeypatch):
    """(method, rate, seed) of every run that is made; none takes any time."""
    runs = []

    def recipe_of(name, settings):
        given = dict(text.split("=", 1) for text in settings)
        method = name.removeprefix("demo/entailment_")
        return method, float(given["train.learning_rate"]), int(given["seed"])

    def train(*, recipe, directory, device, overwrite):
        assert (device, overwrite) == ("cpu", True)
        directory.mkdir()
        (directory / "weights").write_text("")
        runs.append(recipe)
        method, rate, seed = recipe
        return result(BY_RATE[rate], seed + (10.0 if method == "full" else 0.0), seed)

    monkeypatch.setattr(script, "load_recipe", recipe_of)
    monkeypatch.setattr("compacter_cli.training.run.train", train)
    return runs


@pytest.fixture
def measure(script, trained, monkeypatch, tmp_path):
    """Runs the script on two methods of one task; gives what it wrote."""

    def run():
        output = tmp_path / "scores.json"
        words = ["--work", tmp_path / "work", "--tasks", TASK, "--output", output]
        words += ["--arms", "full", "compacterpp"]
        monkeypatch.setattr("sys.argv", ["demo_scores.py", *map(str, words)])
        script.main()
        return json.loads(output.read_text())

    return run


def test_every_rate_is_tried_with_one_seed_and_the_best_with_the_others(measure, trained, capsys):
    cell = measure()["tasks"][TASK]["compacterpp"]
    tried = [(m, rate, 42) for m in ("full", "compacterpp") for rate in BY_RATE]
    others = [(m, 0.004, seed) for m in ("full", "compacterpp") for seed in (43, 44)]
    assert trained == tried + others
    assert cell == {
        "trained_parameters": 1_234,
        "learning_rate": 0.004,
        "validation_by_rate": {"0.001": 60.0, "0.004": 80.0, "0.016": 80.0, "0.064": 50.0},
        "majority": {"accuracy": 50.0},
        "runs": [
            {
                "seed": seed,
                "validation": {"accuracy": 80.0},
                "test": {"accuracy": float(seed)},
                "invalid": 0,
            }
            for seed in (42, 43, 44)
        ],
    }
    shown = capsys.readouterr().out
    assert "8/8  demo-entailment_compacterpp_0.064_42: 42.00 in 10 s" in shown
    assert "4/4  " in shown
    # Means 43 and 53 over a floor of 50: the gains are -7 and 3.
    (row,) = [line for line in shown.splitlines() if line.startswith("compacterpp ")]
    assert row.split() == ["compacterpp", "1,234", "43.0", "±1.0", "@0.004", "(-233%)"]


def test_a_call_that_was_interrupted_goes_on(measure, trained, script, monkeypatch, tmp_path):
    real = script.run_one

    def interrupted(job):
        if len(trained) == 5:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(script, "run_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure()
    assert not (tmp_path / "scores.json").exists()
    monkeypatch.setattr(script, "run_one", real)
    first = measure()
    assert len(trained) == len(set(trained)) == 12
    assert measure() == first
    assert len(trained) == 12
    assert {path.suffix for path in (tmp_path / "work").iterdir()} == {".json"}


def test_a_rate_that_diverges_is_told_and_not_chosen(measure, trained, monkeypatch, capsys):
    from compacter_cli.training import run as command

    real = command.train

    def diverging(*, recipe, directory, **more):
        if recipe[1] == 0.004:
            directory.mkdir()
            raise NotFiniteError("the loss is not finite")
        return real(recipe=recipe, directory=directory, **more)

    monkeypatch.setattr(command, "train", diverging)
    cell = measure()["tasks"][TASK]["full"]
    assert cell["learning_rate"] == 0.016
    assert cell["validation_by_rate"]["0.004"] is None
    assert "full_0.004_42: failed: the loss is not finite" in capsys.readouterr().out


def test_seeds_that_diverge_at_the_chosen_rate_are_left_out(script, tmp_path):
    place = lambda rate, seed: script.result_file(tmp_path, TASK, "full", rate, seed)  # noqa: E731
    for rate in BY_RATE:
        place(rate, 42).write_text(json.dumps({**result(80), "seed": 42}))
    for seed, found in ((43, {"failed": "not finite"}), (44, {**result(80), "seed": 44})):
        place(0.001, seed).write_text(json.dumps(found))
    cell = script.cell_of(tmp_path, TASK, "full", 0.001)
    assert [run["seed"] for run in cell["runs"]] == [42, 44]
    for rate in BY_RATE:
        for seed in (42, 43, 44):
            place(rate, seed).write_text(json.dumps({"failed": "not finite"}))
    with pytest.raises(CompacterError, match="no rate of the grid trains it"):
        script.cell_of(tmp_path, TASK, "full", 0.001)


def test_another_failure_is_not_kept_as_a_rate_that_diverged(script, monkeypatch, tmp_path):
    from compacter_cli.training import run as command

    def train(**_):
        raise CompacterError("out of memory")

    monkeypatch.setattr(command, "train", train)
    file = script.result_file(tmp_path, TASK, "full", 0.001, 42)
    with pytest.raises(CompacterError, match="out of memory"):
        script.run_one((file, ("full", 0.001, 42)))
    assert not file.exists()


def test_half_a_result_is_never_kept(script, trained, monkeypatch, tmp_path):
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    file = script.result_file(tmp_path, TASK, "full", 0.001, 42)
    with pytest.raises(KeyboardInterrupt):
        script.run_one((file, ("full", 0.001, 42)))
    assert not file.exists()


def test_of_equal_validation_scores_the_smallest_rate_is_kept(script, tmp_path):
    for scores, best in (
        ((70, 80, 80, 80), 0.004), ((80, 80, 80, 80), 0.001), ((1, 2, 3, 4), 0.064)
    ):  # fmt: skip
        for rate, score in zip(BY_RATE, scores, strict=True):
            file = script.result_file(tmp_path, TASK, "full", rate, 42)
            file.write_text(json.dumps(result(score)))
        assert script.best_rate(tmp_path, TASK, "full") == best


def cell(*tests, majority=50.0, rate=0.004):
    runs = [{"test": {"accuracy": value}} for value in tests]
    return {"runs": runs, "majority": {"accuracy": majority}, "learning_rate": rate}


def test_a_cell_as_text_by_hand(script):
    # Mean 91, deviation sqrt((1 + 1 + 0) / 2); gains over 50: 41 of 45.
    full = cell(94, 96, 95)
    assert script.text_of(cell(90, 92, 91), full) == "91.0 ±1.0 @0.004 (91%)"
    assert script.text_of(full, full) == "95.0 ±1.0 @0.004 (100%)"
    assert script.text_of(cell(90, 92, 91), None) == "91.0 ±1.0 @0.004"
    assert script.text_of(cell(90, 92, 91), cell(50, 50, 50)) == "91.0 ±1.0 @0.004"


def test_two_metrics_are_one_score_by_their_mean(script):
    runs = [{"test": {"pearson": a, "spearman": b}} for a, b in ((80, 90), (82, 84), (81, 85))]
    both = {"runs": runs, "majority": {"pearson": 0.0, "spearman": 0.0}, "learning_rate": 0.016}
    # 85, 83, 83: mean 83.67, deviation 1.15
    assert script.text_of(both, both) == "83.7 ±1.2 @0.016 (100%)"


def test_no_two_runs_share_a_file(script, tmp_path):
    files = {
        script.result_file(tmp_path, task, arm, rate, seed)
        for task in script.TASKS for arm in script.ARMS
        for rate in script.GRID for seed in script.SEEDS
    }  # fmt: skip
    assert len(files) == 4 * len(script.ARMS) * 4 * 3
    assert not any(" " in file.name for file in files)
    assert len({file.with_suffix("") for file in files}) == len(files)


def test_an_arm_is_a_method_or_compacterpp_on_the_random_start(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "load_recipe", lambda name, settings: (name, settings))
    name, settings = script.recipe_of(tmp_path, "demo/similarity", "bitfit", 0.016, 43)
    assert name == "demo/similarity_bitfit"
    assert settings == ["train.learning_rate=0.016", "seed=43", "train.score_before=false"]
    name, settings = script.recipe_of(tmp_path, "demo/similarity", script.RANDOM, 0.016, 43)
    assert name == "demo/similarity_compacterpp"
    assert settings[-1] == f"backbone.preset={tmp_path / 'random'}"


@pytest.mark.parametrize("words", [[], ["--arms", "full"], ["--tasks", TASK, "--output", "x.json"]])
def test_the_packages_file_is_written_only_where_nothing_is_left_out(script, monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["demo_scores.py", "--work", "w", *words])
    expected = {0: SCRIPT.parents[1] / "compacter_cli" / "paper" / "demo_scores.json", 2: None}
    assert script.arguments().output == expected.get(len(words), Path("x.json"))


def test_a_real_run_is_kept_as_its_result_alone(script, keras, tmp_path):
    small = ["train.epochs=1", "train.warmup_steps=1", "data.max_train_samples=40"]
    recipe = load_recipe("demo/smoke_compacterpp", small)
    file = script.result_file(tmp_path, "demo/smoke", "compacterpp", 0.01, 42)
    line = script.run_one((file, recipe))
    found = json.loads(file.read_text())
    assert (found["seed"], found["trained_parameters"]) == (42, 1_888)
    assert line.startswith(f"{file.stem}: {found['test']['metrics']['accuracy']:.2f} in ")
    assert list(tmp_path.iterdir()) == [file]


def test_the_random_start_is_the_demo_pretraining_without_a_step(
    script, keras, monkeypatch, tmp_path
):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"ba{n} ko{n * n} ri{n % 7}." for n in range(60)))
    tiny = ["vocabulary.size=150", "vocabulary.sentinels=8", "backbone.hidden_dim=16",
            "backbone.num_layers=1", "train.length=16", f'text.files=["{text}"]']  # fmt: skip
    real = pretraining_recipes.load_pretraining
    asked = []

    def small(name, overrides):
        asked.append((name, overrides))
        return real(name, [*overrides, *tiny])

    monkeypatch.setattr(pretraining_recipes, "load_pretraining", small)
    (tmp_path / "random").mkdir()
    (tmp_path / "random" / "recipe.toml").write_text("[text]\n")
    (tmp_path / "random" / "state").mkdir()  # of an interrupted call
    script.random_start(tmp_path)
    assert asked == [("demo/pretrain", ["train.steps=0"])]
    assert json.loads((tmp_path / "random" / "pretraining.json").read_text())["steps"] == 0
    load_backbone(str(tmp_path / "random"))
    script.random_start(tmp_path)  # there already
    assert len(asked) == 1
