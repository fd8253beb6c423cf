"""Watchers: one curve however often a run is gone on with, and none that ends a run."""

import json
import sys
from importlib.machinery import ModuleSpec
from io import FileIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training import watching
from compacter_cli.training.claim import is_vacant
from compacter_cli.training.display import Display
from compacter_cli.training.loop import Epoch
from compacter_cli.training.metrics_file import append_metrics
from compacter_cli.training.run import train
from compacter_cli.training.run_directory import RUN, run_directory
from compacter_cli.training.scoring import Scores
from compacter_cli.training.trainer import Update
from compacter_cli.training.watching import Watching, check_watchers, project_and_name, scalars_of

SMALL = ("train.epochs=2", "train.warmup_steps=1", "data.max_train_samples=40")
SCORES = Scores({"accuracy": 60.0, "f1": 70.0}, {"accuracy": 50.0, "f1": 0.0}, 10, 0)


class Told(Display):
    """A display that remembers its lines, and is interrupted at an update."""

    def __init__(self, interrupted=None):
        self.lines, self.interrupted = [], interrupted

    def line(self, text):
        self.lines.append(text)

    def update(self, update):
        if update.step == self.interrupted:
            raise KeyboardInterrupt


def recipe_of(*watch, sets=()):
    return load_recipe(
        "demo/smoke_compacterpp", [*SMALL, *sets, f"output.watch={json.dumps(watch)}"]
    )


def update(step, loss=2.0):
    return Update(step, 1, loss, 1e-2, 0.5)


@pytest.fixture
def fake_wandb(monkeypatch):
    """A wandb that keeps the history of every run by its id, and goes on with one by it."""
    module, runs = ModuleType("wandb"), {}
    module.__spec__ = ModuleSpec("wandb", None, origin="here")

    class Run:
        def __init__(self, **settings):
            self.settings, self.axes, self.ended = settings, [], None
            kept = runs.setdefault(settings["id"], {"history": {}, "opened": []})
            self.history = kept["history"]
            kept["opened"].append(self)
            self.step = max(self.history, default=-1) + 1

        def define_metric(self, name, **settings):
            self.axes.append((name, settings))

        def log(self, values, step):
            assert step >= max(self.history, default=0), "a step that has gone by"
            assert step not in self.history
            self.history[step] = values

        def finish(self, exit_code):
            self.ended = exit_code

    module.init, module.Settings, module.runs = Run, SimpleNamespace, runs
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return module


def the_run(module):
    (kept,) = module.runs.values()
    return kept["history"], kept["opened"]


# What is told.


def test_a_line_comes_to_named_numbers_and_none_that_is_not_finite():
    assert scalars_of(update(3).record()) == {
        "train/loss": 2.0,
        "train/learning_rate": 1e-2,
        "train/gradient_norm": 0.5,
    }
    assert "train/loss" not in scalars_of(update(3, float("nan")).record())
    assert scalars_of(Epoch(1, 4, 1.5, SCORES, True).record()) == {
        "train/epoch_loss": 1.5,
        "validation/accuracy": 60.0,
        "validation/f1": 70.0,
        "validation/mean": 65.0,
    }


def test_nothing_is_watched_unless_it_is_asked_for(tmp_path):
    assert recipe_of().output.watch == []
    with Watching(Told(), recipe_of(), tmp_path, False) as display:
        display.start(4)
        display.update(update(1))
    assert list(tmp_path.iterdir()) == []


def test_the_display_is_told_all_that_it_was_told_without_watchers(tmp_path):
    heard = []

    class Everything(Display):
        def __getattribute__(self, name):
            heard.append(name)
            return super().__getattribute__(name)

    own = [name for name in vars(Display) if not name.startswith("_")]
    display = Watching(Everything(), recipe_of(), tmp_path, False)
    told = {"start": (1,), "update": (update(1),), "epoch": (Epoch(1, 1, 1.0, SCORES, True),),
            "finished": ({"test": SCORES.record()},), "stop": (), "scoring_before": ()}  # fmt: skip
    for name in own:
        getattr(display, name)(*told.get(name, (None,)))
    assert heard == own


# Weights & Biases.


def test_a_run_that_goes_on_has_every_line_once_and_its_test(fake_wandb, keras, tmp_path):
    recipe, run = recipe_of("wandb", sets=["train.save_every=1"]), tmp_path / "runs" / "one"
    with pytest.raises(KeyboardInterrupt):
        train(recipe=recipe, directory=run, device="cpu", display=Told(interrupted=3))
    told = Told()
    result = train(recipe=recipe, directory=run, device="cpu", resume=True, display=told)
    assert not any("told no more" in line for line in told.lines)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    history, opened = the_run(fake_wandb)
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
    expected = [{**scalars_of(line), "update": line["step"]} for line in lines]
    test = {"test/accuracy": result["test"]["mean"], "test/mean": result["test"]["mean"]}
    assert history == dict(enumerate([*expected, {**test, "update": 4}], 1))
    assert [each.ended for each in opened] == [1, 0]
    assert opened[0].axes == [("update", {}), ("*", {"step_metric": "update"})]


def test_a_run_begun_without_is_told_from_its_first_update_on(fake_wandb, tmp_path):
    for step in (1, 2):
        append_metrics(tmp_path, **update(step).record())
    with Watching(Told(), recipe_of("wandb"), tmp_path, False) as display:
        display.start(4, done=2)
        display.update(update(3))
    history, _ = the_run(fake_wandb)
    assert [values["update"] for values in history.values()] == [1, 2, 3]


def test_what_was_kept_offline_is_told_again_whole(fake_wandb, tmp_path):
    append_metrics(tmp_path, **update(1).record())
    kept = tmp_path / "wandb" / "offline-run-1"
    kept.mkdir(parents=True)
    with Watching(Told(), recipe_of("wandb"), tmp_path, True) as display:
        display.start(4, done=1)
    history, opened = the_run(fake_wandb)
    assert not kept.exists()
    assert list(history) == [1]
    assert opened[0].settings["mode"] == "offline"


def test_a_run_is_named_by_its_place_and_another_in_its_place_is_another(fake_wandb, tmp_path):
    recipe = recipe_of("wandb")
    for _ in range(2):
        with Watching(Told(), recipe, tmp_path / "mine", False) as display:
            (tmp_path / "mine").mkdir()
            display.start(4)
        (tmp_path / "mine" / "wandb").rename(tmp_path / str(len(fake_wandb.runs)))
        (tmp_path / "mine").rmdir()
    assert len(fake_wandb.runs) == 2
    settings = next(iter(fake_wandb.runs.values()))["opened"][0].settings
    assert (settings["project"], settings["name"]) == (tmp_path.name, "mine")
    assert settings["mode"] is None
    assert settings["config"] == recipe.plain()


def test_a_project_is_the_folder_of_runs_and_a_name_the_path_in_it(tmp_path):
    recipe = recipe_of(sets=[f"output.root={tmp_path / 'my#runs'}"])
    directory = run_directory(recipe)
    project, name = project_and_name(recipe, directory)
    assert project == "my-runs"
    assert name == str(directory.relative_to(tmp_path / "my#runs"))
    assert name.startswith("demo/smoke/compacterpp/tiny-s42-")
    assert project_and_name(recipe, tmp_path / "b" / "c") == ("b", "c")
    assert project_and_name(recipe, Path("/c")) == ("compacter", "c")
    project, name = project_and_name(recipe, tmp_path / ("p" * 200) / ("n" * 200))
    assert (len(project), len(name)) == (128, 128)


def test_a_project_of_the_environment_is_kept(fake_wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    with Watching(Told(), recipe_of("wandb"), tmp_path, False) as display:
        display.start(4)
    assert the_run(fake_wandb)[1][0].settings["project"] == "theirs"


# Failures.


class Failing:
    """A watcher that fails where it is told to."""

    def __init__(self, at):
        self.at, self.heard = at, []
        self("begin")

    def __call__(self, what):
        self.heard.append(what)
        if what == self.at:
            raise OSError(28, "No space left\non device")

    def log(self, number, step, scalars):
        self(f"log {number}")

    def close(self, well):
        self(f"close {well}")


@pytest.fixture
def failing(monkeypatch):
    """Puts a watcher that fails in the place of one."""
    made = []

    def failing(at, name="tensorboard"):
        def make(*_):
            watcher = Failing.__new__(Failing)
            made.append(watcher)
            watcher.__init__(at)
            return watcher

        monkeypatch.setitem(watching.WATCHERS, name, make)
        return made

    return failing


@pytest.mark.parametrize(
    ("at", "heard"),
    [("begin", 1), ("log 1", 3), ("log 2", 4), ("close True", 6), ("nothing", 5)],
)
def test_a_watcher_that_fails_is_told_once_and_the_others_go_on(
    at, heard, failing, fake_wandb, tmp_path
):
    made, told = failing(at), Told()
    with Watching(told, recipe_of("tensorboard", "wandb"), tmp_path, False) as display:
        display.start(4)
        for step in (1, 2, 3):
            display.update(update(step))
    said = "tensorboard is told no more: [Errno 28] No space left\\non device; the run goes on"
    assert told.lines == ([] if at == "nothing" else [said])
    assert len(made[0].heard) == heard  # and closed
    assert len(the_run(fake_wandb)[0]) == 3


def test_a_watcher_that_fails_changes_nothing_of_the_run(failing, fake_wandb, keras, tmp_path):
    failing("log 3", "wandb")
    results = []
    for watch in ((), ("wandb",)):
        run = tmp_path / str(len(watch))
        made = recipe_of(*watch)
        results.append(train(recipe=made, directory=run, device="cpu")["test"])
    assert results[0] == results[1]
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("0", "1")]
    assert texts[0] == texts[1]


def test_metrics_that_cannot_be_read_end_no_run(fake_wandb, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{")
    told = Told()
    with Watching(told, recipe_of("wandb"), tmp_path, False) as display:
        display.start(4)
        display.update(update(1))
    assert len(told.lines) == 1
    assert told.lines[0].startswith("wandb is told no more: ")


def test_ctrl_c_in_a_watcher_is_ctrl_c(failing, tmp_path, monkeypatch):
    made = failing("nothing")
    monkeypatch.setattr(Failing, "log", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with Watching(Told(), recipe_of("tensorboard"), tmp_path, False) as display:
        display.start(4)
        with pytest.raises(KeyboardInterrupt):
            display.update(update(1))
    assert made[0].heard == ["begin", "close True"]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_watcher_that_is_not_installed_is_told_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=f'"{name}" needs a package') as caught:
        check_watchers([name])
    assert caught.value.hint == f'pip install "compacter[{name}]"'


def test_a_folder_that_is_called_as_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "watcher_of_nobody").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="not installed"):
        check_watchers(["watcher_of_nobody"])


def test_watchers_that_are_installed_pass(fake_wandb):
    check_watchers(["wandb"])
    check_watchers([])


# Their folders.


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_folder_of_a_watcher_is_a_runs_own_but_makes_no_run(name, tmp_path):
    (tmp_path / name).mkdir()
    assert not is_vacant(tmp_path)
    with pytest.raises(UsageError, match="is not a run, so it is never overwritten"):
        RUN.may_take(tmp_path, overwrite=True)
    (tmp_path / "metrics.jsonl").write_text("")
    assert RUN.may_take(tmp_path, overwrite=True)


# The packages themselves.


@pytest.mark.extras
def test_tensorboard_reads_one_curve_of_a_run_that_went_on(keras, tmp_path):
    pytest.importorskip("tensorboard", reason='needs pip install "compacter[tensorboard]"')
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    recipe = recipe_of("tensorboard", sets=["train.save_every=1"])
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe=recipe, directory=run, device="cpu", display=Told(interrupted=3))
    told = Told()
    result = train(recipe=recipe, directory=run, device="cpu", resume=True, display=told)
    assert not any("told no more" in line for line in told.lines)
    (path,) = (run / "tensorboard").iterdir()
    events = list(LegacyEventFileLoader(str(path)).Load())
    assert events[0].file_version == "brain.Event:2"
    found = [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events
        if event.HasField("summary")
    ]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = [(line["step"], pytest.approx(scalars_of(line))) for line in lines]
    test = {f"test/{key}": result["test"]["mean"] for key in ("accuracy", "mean")}
    assert found == [*expected, (4, pytest.approx(test))]


@pytest.mark.extras
@pytest.mark.parametrize("full_at", [1, 3])
def test_tensorboard_on_a_full_disk_is_told(tmp_path, monkeypatch, full_at):
    pytest.importorskip("tensorboard", reason='needs pip install "compacter[tensorboard]"')

    class Filling(FileIO):
        """A file on a disk that is full from its n-th record on."""

        records = 0

        def write(self, data):
            self.records += 1
            if self.records >= full_at:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(watching, "FileIO", Filling)
    told = Told()
    with Watching(told, recipe_of("tensorboard"), tmp_path, False) as display:
        display.start(4)
        display.update(update(1))
    assert told.lines == [
        "tensorboard is told no more: [Errno 28] No space left on device; the run goes on"
    ]


@pytest.mark.extras
def test_wandb_takes_a_run_offline(keras, tmp_path, capfd):
    pytest.importorskip("wandb", reason='needs pip install "compacter[wandb]"')
    told, run = Told(), tmp_path / "run"
    train(recipe=recipe_of("wandb"), directory=run, device="cpu", offline=True, display=told)
    assert told.lines == []
    assert len(list((run / "wandb").glob("offline-run-*/run-*.wandb"))) == 1
    assert capfd.readouterr() == ("", "")
