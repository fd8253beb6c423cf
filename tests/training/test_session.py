import errno
import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.restoring import backbone_of
from compacter_cli.data.sources import find_rows
from compacter_cli.errors import CompacterError, MissingResourceError, NotFiniteError, UsageError
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import fingerprint_of
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.tasks import task_of
from compacter_cli.training import loop as training
from compacter_cli.training.display import Display
from compacter_cli.training.lock import Lock
from compacter_cli.training.records import Result
from compacter_cli.training.scoring import Scores
from compacter_cli.training.session import Session
from compacter_cli.training.signals import StoppedError


@pytest.fixture(scope="module")
def backbones(keras):
    """Gives the backbone of a recipe, one for all that leave it as it is."""
    made = {}

    def of(recipe):
        key = recipe.backbone.preset, recipe.backbone.precision
        if key[0] != "random/tiny" or recipe.method.trains_in_place:
            return backbone_of(recipe)
        if key not in made:
            made[key] = backbone_of(recipe)
        return made[key]

    yield of
    if exact := made.get(("random/tiny", "float32")):
        assert fingerprint_of(backbone_weights(exact.keras)) == exact.fingerprint


@pytest.fixture(autouse=True)
def quick(backbones, monkeypatch):
    """Without the collection of garbage and the making of backbones, which take longer than an
    epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)
    monkeypatch.setattr("compacter_cli.training.session.backbone_of", backbones)


def recipe_of(*overrides):
    """Two epochs of two updates each."""
    small = ["train.epochs=2", "train.warmup_steps=1", "data.max_train_samples=40"]
    return load_recipe("demo/smoke_compacterpp", [*small, *overrides])


class Watching(Display):
    """A display that remembers, and calls `on_update(step)` and `on_epoch(number)`."""

    def __init__(self, on_update=lambda step: None, on_epoch=lambda number: None):
        self.seen, self.lines = [], []
        self.on_update, self.on_epoch = on_update, on_epoch

    def opening(self, opening):
        self.opened = opening

    def scoring_before(self):
        self.seen.append("scoring before")

    def scored_before(self, scores):
        self.seen.append(("before", scores.metrics))

    def start(self, updates, done=0):
        self.updates = updates
        self.seen.append(f"start at {done}" if done else "start")

    def line(self, text):
        self.lines.append(text)

    def update(self, update):
        self.seen.append(f"update {update.step}")
        self.on_update(update.step)

    def epoch(self, epoch):
        self.seen.append(f"epoch {epoch.number}")
        self.on_epoch(epoch.number)

    def stop(self):
        self.seen.append("stop")


def session_of(directory, recipe=None, display=None, device="cpu"):
    recipe = recipe or recipe_of()
    return Session(recipe, directory, device, find_rows(task_of(recipe), recipe.data), display)


def run(directory, recipe=None, display=None):
    """A session from its start to the end of its training."""
    with session_of(directory, recipe, display) as session:
        session.start(overwrite=False)
        session.train()
        return session


def metrics_of(directory):
    path = directory / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def files(directory):
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


def same(adapter, tensors):
    loaded = load_adapter(adapter).tensors
    return loaded.keys() == tensors.keys() and all(
        torch.equal(loaded[n], tensors[n]) for n in loaded
    )


def script_validation(monkeypatch, *scores):
    """Give the epochs these validation scores; what trains is not touched."""
    coming = iter(scores)

    def evaluate(*_):
        return Scores({"accuracy": next(coming)}, {"accuracy": 54.0}, 100, 0), []

    monkeypatch.setattr(training, "evaluate", evaluate)


def test_a_score_before_training_changes_nothing_of_the_run(tmp_path):
    for name in ("without", "with"):
        directory = tmp_path / name
        recipe = recipe_of("train.dropout=0.1", f"train.score_before={str(name == 'with').lower()}")
        with session_of(directory, recipe) as session:
            session.start(overwrite=False)
            session.train()
            session.finish()
    assert metrics_of(tmp_path / "with") == metrics_of(tmp_path / "without")
    adapters = [load_adapter(tmp_path / name / "best").tensors for name in ("with", "without")]
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    results = [json.loads((tmp_path / n / "result.json").read_text()) for n in ("with", "without")]
    assert results[1]["before"] is None
    assert results[0]["test"] == results[1]["test"]
    before = results[0]["before"]
    assert (before["count"], before["majority"]) == (100, results[0]["test"]["majority"])


def test_the_score_before_is_of_the_test_split_and_taken_before_the_first_update(
    tmp_path, monkeypatch
):
    scored, watching = [], Watching()

    def evaluate(model, vocabulary, task, dataset, split, size, device, processes):
        scored.append((split, list(watching.seen)))
        return Scores({"accuracy": 12.0}, {"accuracy": 54.0}, 100, 99), []

    monkeypatch.setattr("compacter_cli.training.scoring.evaluate", evaluate)
    session = run(tmp_path / "run", recipe_of("train.score_before=true"), watching)
    assert scored == [("test", ["scoring before"])]
    assert session.before["metrics"] == {"accuracy": 12.0}
    assert watching.seen[1:3] == [("before", {"accuracy": 12.0}), "start"]


def test_nothing_is_written_before_the_start(tmp_path):
    with session_of(tmp_path / "run") as session:
        assert not (tmp_path / "run").exists()
        assert len(session.dataset.train) == 40
        assert session.tuning.updates == 4
        assert session.device == "cpu"


def test_the_display_sees_everything_in_order(tmp_path):
    watching = Watching()
    run(tmp_path / "run", display=watching)
    assert watching.seen == [
        "start", "update 1", "update 2", "epoch 1", "update 3", "update 4", "epoch 2", "stop",
    ]  # fmt: skip
    assert watching.updates == 4
    opened = watching.opened
    assert (opened.directory, opened.device, opened.updates) == (tmp_path / "run", "cpu", 4)
    assert opened.sizes == {"train": 40, "validation": 100, "test": 100}
    assert opened.shape.parameters() == 173_056


def test_an_epoch_is_saved_before_the_display_hears_of_it(tmp_path):
    epochs = []

    def look(number):
        manifest = load_adapter(tmp_path / "run" / "last").manifest
        assert manifest["metrics"]["epoch"] == number
        epochs.append(number)

    run(tmp_path / "run", display=Watching(on_epoch=look))
    assert epochs == [1, 2]


def test_metrics_are_written_while_it_runs(tmp_path):
    counts = []

    def count(_):
        counts.append(len(metrics_of(tmp_path / "run")))

    run(tmp_path / "run", display=Watching(on_update=count, on_epoch=count))
    assert counts == [1, 2, 3, 4, 5, 6]


def test_last_is_saved_every_epoch_and_best_where_it_improved(tmp_path, monkeypatch):
    script_validation(monkeypatch, 60.0, 80.0, 80.0, 70.0)
    session = run(tmp_path / "run", recipe_of("train.epochs=4"))
    last, best = (load_adapter(tmp_path / "run" / which) for which in ("last", "best"))
    assert last.manifest["metrics"] == {"epoch": 4, "accuracy": 70.0}
    assert best.manifest["metrics"] == {"epoch": 2, "accuracy": 80.0}
    assert same(tmp_path / "run" / "last", session.model.trained_tensors())
    assert not same(tmp_path / "run" / "best", session.model.trained_tensors())


def test_ties_of_all_epochs_keep_the_first(tmp_path, monkeypatch):
    script_validation(monkeypatch, 54.0, 54.0)
    run(tmp_path / "run")
    assert load_adapter(tmp_path / "run" / "best").manifest["metrics"]["epoch"] == 1
    assert load_adapter(tmp_path / "run" / "last").manifest["metrics"]["epoch"] == 2


def test_the_test_is_taken_with_the_best_adapter_from_its_file(tmp_path, monkeypatch):
    script_validation(monkeypatch, 90.0, 20.0)
    with session_of(tmp_path / "run") as session:
        session.start(overwrite=False)
        session.train()
        # A mark that only reading the file can bring back.
        with torch.no_grad():
            for tensor in session.model.trained_tensors().values():
                tensor.fill_(7.0)
        seen = {}

        def evaluate(model, vocabulary, task, dataset, split, size, device, processes):
            seen[split] = same(tmp_path / "run" / "best", model.trained_tensors())
            return Scores({"accuracy": 33.0}, {"accuracy": 54.0}, 100, 1), ["1"] * 100

        monkeypatch.setattr("compacter_cli.training.scoring.evaluate", evaluate)
        result = session.finish()
    assert seen == {"test": True}
    assert result["best_epoch"] == 1
    assert result["validation"]["metrics"] == {"accuracy": 90.0}
    assert result["test"]["metrics"] == {"accuracy": 33.0}
    assert result == json.loads((tmp_path / "run" / "result.json").read_text())


def test_a_result_holds_what_was_run_and_what_came_of_it(tmp_path, monkeypatch):
    script_validation(monkeypatch, 60.0, 80.0)
    with session_of(tmp_path / "run") as session:
        session.start(overwrite=False)
        session.train()
        result = session.finish()
    assert (result["task"], result["method"]) == ("demo/smoke", "compacterpp")
    assert (result["preset"], result["seed"]) == ("random/tiny", 42)
    # By hand, below: 1,888 of the 173,056 of random/tiny.
    assert result["trained_parameters"] == 1_888
    assert result["trained_percent"] == pytest.approx(100 * 1_888 / 173_056)
    assert result["backbone_parameters"] == 173_056
    assert (result["epochs"], result["best_epoch"]) == (2, 2)
    assert (result["train_examples"], result["updates"]) == (40, 4)  # 20 an update
    assert result["learning_rate"] == 1e-2
    assert result["validation"]["metrics"] == {"accuracy": 80.0}
    assert (result["test"]["count"], result["paper"]) == (100, None)
    assert result["run"] == str(tmp_path / "run")
    assert set(result) == set(Result.__annotations__) - {"started_from"}  # nothing did


def test_a_manifest_names_backbone_method_task_and_recipe(tmp_path):
    recipe = recipe_of("train.epochs=1")
    session = run(tmp_path / "run", recipe)
    manifest = load_adapter(tmp_path / "run" / "best").manifest
    assert manifest["task"] == "demo/smoke"
    assert manifest["method"] == recipe.method.settings()
    assert manifest["recipe"] == recipe.plain()
    assert manifest["backbone"] == {
        "preset": "random/tiny",
        "fingerprint": session.backbone.fingerprint,
        "vocabulary_sha256": session.backbone.vocabulary.sha256,
        "parameters": 173_056,
    }
    # By hand: 4 sites x 2 x 1 x (64 + 24), A 4^3, biases 4 x (64 + 24), 12 norms of 64.
    assert manifest["trained_parameters"] == 704 + 64 + 352 + 768


def test_the_backbone_keeps_its_fingerprint_through_a_run(tmp_path):
    session = run(tmp_path / "run", recipe_of("train.epochs=1"))
    assert fingerprint_of(backbone_weights(session.backbone.keras)) == session.backbone.fingerprint


def test_bfloat16_trains_float32_weights_of_a_bfloat16_backbone(tmp_path):
    session = run(tmp_path / "run", recipe_of("train.epochs=1", "backbone.precision=bfloat16"))
    stored = {v.dtype for v in backbone_weights(session.backbone.keras).values()}
    assert stored == {"bfloat16"}
    tensors = load_adapter(tmp_path / "run" / "best").tensors
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    assert not any(torch.equal(t, t.bfloat16().float()) for t in tensors.values() if t.numel() > 63)


# Failures.


def test_a_backbone_that_is_not_there_leaves_no_directory(tmp_path):
    recipe = recipe_of()
    backbone = recipe.backbone.model_copy(update={"preset": str(tmp_path / "missing")})
    broken = recipe.model_copy(update={"backbone": backbone})
    with pytest.raises(MissingResourceError), session_of(tmp_path / "run", broken):
        pytest.fail("the session began")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_leaves_no_directory(tmp_path):
    with pytest.raises(UsageError, match="tpu"), session_of(tmp_path / "run", device="tpu"):
        pytest.fail("the session began")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_directory_is_refused_at_the_start(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with session_of(tmp_path / "run") as session, pytest.raises(UsageError):
        session.start(overwrite=False)
    assert files(tmp_path) == {"run/mine.txt"}


def test_a_loss_that_is_not_finite_leaves_the_saved_adapters_as_they_were(tmp_path, monkeypatch):
    from compacter_cli.t5.model import T5Model

    real, kept, calls = T5Model.summed_loss, {}, []

    def summed_loss(self, batch, training=False, key=()):
        calls.append(batch)
        return real(self, batch, training, key) * (float("nan") if len(calls) == 4 else 1.0)

    def keep(_):
        for which in ("best", "last"):
            path = tmp_path / "run" / which / "adapter.safetensors"
            kept[which] = path.read_bytes()

    monkeypatch.setattr(T5Model, "summed_loss", summed_loss)
    watching = Watching(on_epoch=keep)
    with pytest.raises(CompacterError, match="step 4"):
        run(tmp_path / "run", display=watching)
    assert watching.seen[-1] == "stop"
    assert sorted(kept) == ["best", "last"]
    for which, data in kept.items():
        assert (tmp_path / "run" / which / "adapter.safetensors").read_bytes() == data
        load_adapter(tmp_path / "run" / which)
    assert not (tmp_path / "run" / "result.json").exists()


# Saving states.


def states_in(directory):
    place = directory / "state"
    return sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []


def test_the_state_is_saved_at_epoch_ends_and_gone_with_the_result(tmp_path):
    seen = []
    look = Watching(on_epoch=lambda _: seen.append(states_in(tmp_path / "run")))
    with session_of(tmp_path / "run", display=look) as session:
        session.start(overwrite=False)
        session.train()
        assert seen == [["00000002e"], ["00000002e", "00000004e"]]
        session.finish()
    assert states_in(tmp_path / "run") == []
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == [
        "best", "environment.json", "last", "metrics.jsonl", "predictions.jsonl", "recipe.toml",
        "result.json",
    ]  # fmt: skip


def test_the_state_is_saved_every_so_many_updates_beside(tmp_path):
    seen = []
    look = Watching(on_update=lambda _: seen.append(states_in(tmp_path / "run")))
    run(tmp_path / "run", recipe_of("train.batch_size=8", "train.save_every=2"), look)
    # Five updates an epoch; what is seen at an update is from before it.
    assert seen == [
        [], [], ["00000002"], ["00000002"], ["00000002", "00000004"],
        ["00000004", "00000005e"], ["00000005e", "00000006"], ["00000005e", "00000006"],
        ["00000006", "00000008"], ["00000006", "00000008"],
    ]  # fmt: skip
    assert states_in(tmp_path / "run") == ["00000010", "00000010e"]


@pytest.fixture
def clock(monkeypatch):
    """The clock of a session, which the test moves."""
    now = SimpleNamespace(seconds=1000.0)
    patched = SimpleNamespace(perf_counter=lambda: now.seconds)
    for module in ("session", "run_writer"):
        monkeypatch.setattr(f"compacter_cli.training.{module}.time", patched)
    return now


def test_the_state_is_saved_after_so_many_minutes_too(tmp_path, clock):
    seen = []

    def wait(_):
        seen.append(states_in(tmp_path / "run"))
        clock.seconds += 8 * 60

    recipe = recipe_of("train.epochs=1", "train.batch_size=8", "train.save_minutes=15.0")
    run(tmp_path / "run", recipe, Watching(on_update=wait))
    assert seen == [[], [], ["00000002"], ["00000002"], ["00000002", "00000004"]]


def test_the_seconds_of_all_parts_are_counted(tmp_path, clock):
    def wait(step):
        clock.seconds += 10
        if step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(tmp_path / "run", display=Watching(on_update=wait))
    clock.seconds = 5.0  # another process, another clock
    result = resumed(tmp_path / "run", display=Watching(on_update=wait_of(clock, 10)))
    assert result["training_seconds"] == 20 + 20  # what was lost with the third is not counted


def wait_of(clock, seconds):
    def wait(_):
        clock.seconds += seconds

    return wait


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    def poison(step):
        if step == 4:
            first = next(iter(session.model.trained_tensors().values()))
            with torch.no_grad():
                first.fill_(float("inf"))

    watching = Watching(on_update=poison)
    with session_of(tmp_path / "run", recipe_of("train.save_every=1"), watching) as session:
        session.start(overwrite=False)
        with pytest.raises(NotFiniteError, match="is not finite after update 4; what was saved"):
            session.train()
    assert states_in(tmp_path / "run") == ["00000002e", "00000003"]
    assert load_adapter(tmp_path / "run" / "last").manifest["metrics"]["epoch"] == 1


# Room.

# By hand: 1,888 float32 weights; three of each and 100 kB of headers in a state.
ONCE = 3 * 4 * 1_888 + 100_000
# Three states, and best, last and a new one.
MOST = 3 * ONCE + 3 * (4 * 1_888 + 100_000)


@pytest.mark.parametrize("free", [0, ONCE - 1])
def test_a_run_that_could_not_be_saved_once_does_not_begin(tmp_path, monkeypatch, free):
    monkeypatch.setattr("compacter_cli.training.space.free_bytes", lambda _: free)
    with (
        session_of(tmp_path / "run") as session,
        pytest.raises(CompacterError, match=r"a save takes 122\.66 kB, .* are free"),
    ):
        session.start(overwrite=False)
    assert metrics_of(tmp_path / "run") == []


@pytest.mark.parametrize(("free", "said"), [(ONCE, 1), (MOST - 1, 1), (MOST, 0)])
def test_a_shortage_that_may_come_later_is_said(tmp_path, monkeypatch, free, said):
    monkeypatch.setattr("compacter_cli.training.space.free_bytes", lambda _: free)
    watching = Watching()
    with session_of(tmp_path / "run", display=watching) as session:
        session.start(overwrite=False)
    told = [line for line in watching.lines if "space is short: the run may take 690.62 kB" in line]
    assert len(told) == said


# What is lost while it runs.


def test_a_directory_that_is_removed_stops_the_run_at_the_next_update(tmp_path):
    watching = Watching(on_update=lambda step: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(CompacterError, match="was removed, or replaced, while it was written to"):
        run(tmp_path / "run", display=watching)
    assert watching.seen == ["start", "update 1", "stop"]
    assert not (tmp_path / "run").exists()


def test_a_directory_that_another_run_took_is_not_written_to(tmp_path):
    def replace(step):
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "theirs").write_text("")

    with pytest.raises(CompacterError, match="was removed, or replaced"):
        run(tmp_path / "run", display=Watching(on_update=replace))
    assert files(tmp_path / "run") == {"theirs"}


def block_metrics_at(directory, step):
    def block(now):
        if now == step:
            (directory / "metrics.jsonl").unlink()
            (directory / "metrics.jsonl").mkdir()

    return Watching(on_update=block)


def test_metrics_that_cannot_be_written_are_told_once_and_the_run_goes_on(tmp_path):
    watching = block_metrics_at(tmp_path / "run", 1)
    with session_of(tmp_path / "run", display=watching) as session:
        session.start(overwrite=False)
        session.train()
        result = session.finish()
    assert result["epochs"] == 2
    (told,) = watching.lines
    assert "metrics.jsonl: Is a directory; the run goes on without metrics.jsonl" in told


def test_metrics_that_cannot_be_written_end_the_run_where_the_recipe_says_so(tmp_path):
    watching = block_metrics_at(tmp_path / "run", 3)
    with pytest.raises(CompacterError, match=r"cannot write .*metrics\.jsonl"):
        run(tmp_path / "run", recipe_of("output.without_metrics=stop"), watching)
    assert watching.lines == []
    assert states_in(tmp_path / "run") == ["00000002e"]


# Going on.


class KilledError(BaseException):
    """Ends a session on the spot, as a kill would."""


def kill_at(*, update=None, epoch=None):
    def die(now, wanted):
        if now == wanted:
            raise KilledError

    return Watching(lambda step: die(step, update), lambda number: die(number, epoch))


def resumed(directory, recipe=None, display=None, **how):
    """The result of a run that goes on."""
    with session_of(directory, recipe, display) as session:
        session.resume(**how)
        session.train()
        return session.finish()


@pytest.fixture(scope="module")
def whole(keras, tmp_path_factory):
    """Gives the directory of the uninterrupted run of some overrides."""
    done = {}

    def of(*overrides):
        if overrides not in done:
            directory = tmp_path_factory.mktemp("whole") / "run"
            with session_of(directory, recipe_of(*overrides)) as session:
                session.start(overwrite=False)
                session.train()
                session.finish()
            done[overrides] = directory
        return done[overrides]

    return of


def lasting(directory):
    """What of a finished run hangs on its recipe alone."""
    result = json.loads((directory / "result.json").read_text())
    for key in ("run", "training_seconds", "peak_memory_bytes"):
        del result[key]
    adapters = {
        f"{which}/adapter.safetensors": (directory / which / "adapter.safetensors").read_bytes()
        for which in ("best", "last")
    }
    return {"result": result, "metrics": (directory / "metrics.jsonl").read_text(), **adapters}


EVERY = ("train.save_every=1", "train.dropout=0.1")
PARTS = ("train.batch_size=5", "train.accumulate=2")  # four updates an epoch
CASES = {
    "in the first epoch": (EVERY, {"update": 2}),
    "in a later epoch": (EVERY, {"update": 4}),
    "after an epoch": (EVERY, {"epoch": 1}),
    "after the last epoch": (EVERY, {"epoch": 2}),
    "accumulating": ((*EVERY, *PARTS), {"update": 6}),
    "since three updates": (("train.save_every=3", *PARTS), {"update": 6}),
    "since the epoch": ((*PARTS, "train.dropout=0.1"), {"update": 7}),
    "scored before": ((*EVERY, "train.score_before=true"), {"update": 3}),
    "bfloat16": ((*EVERY, "backbone.precision=bfloat16"), {"update": 3}),
    "reference": ((*EVERY, "train.execution=reference"), {"update": 3}),
    "again in the backward pass": ((*EVERY, "train.remat=true"), {"update": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(tmp_path, whole, case):
    overrides, moment = CASES[case]
    recipe = recipe_of(*overrides)
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe, kill_at(**moment))
    torch.manual_seed(99)  # as if a generator of the process counted
    resumed(tmp_path / "run", recipe)
    assert lasting(tmp_path / "run") == lasting(whole(*overrides))
    assert states_in(tmp_path / "run") == []


def test_full_fine_tuning_goes_on_as_if_it_had_never_stopped(tmp_path):
    own = recipe_of("train.learning_rate=0.001", "data.max_train_samples=20", *EVERY)
    recipe = own.model_copy(update={"method": METHODS["full"]()}).resolved()
    run(tmp_path / "whole", recipe)
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe, kill_at(update=2))
    with session_of(tmp_path / "run", recipe) as session:
        session.resume()
        session.train()
    for which in ("best", "last"):
        one, other = (load_adapter(tmp_path / name / which).tensors for name in ("run", "whole"))
        assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_run_that_is_killed_again_and_again_ends_as_the_whole_one(tmp_path, whole):
    recipe = recipe_of(*EVERY, *PARTS)
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe, kill_at(update=2))
    for update in range(3, 9):
        with pytest.raises(KilledError):
            resumed(tmp_path / "run", recipe, kill_at(update=update))
    resumed(tmp_path / "run", recipe)
    assert lasting(tmp_path / "run") == lasting(whole(*EVERY, *PARTS))
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["resumed"] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("overrides", [EVERY, ()], ids=["every update", "every epoch"])
def test_a_run_that_is_killed_while_it_is_scored_is_scored_again(
    tmp_path, whole, monkeypatch, overrides
):
    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", die)
        with pytest.raises(KilledError):
            run(tmp_path / "run", recipe_of(*overrides))
    assert states_in(tmp_path / "run") == (["00000001", "00000002"] if overrides else [])
    resumed(tmp_path / "run", recipe_of(*overrides))
    assert lasting(tmp_path / "run") == lasting(whole(*overrides))


@pytest.mark.parametrize("overrides", [EVERY, ()], ids=["every update", "every epoch"])
@pytest.mark.parametrize("place", ["best", "last", "00000002e"])
def test_a_run_that_is_killed_between_the_saves_of_an_epoch_goes_on(
    tmp_path, whole, monkeypatch, place, overrides
):
    from compacter_cli import files as durable

    real = durable.swap_in

    def swap_in(fresh, directory):
        if directory.name == place:
            raise KilledError
        real(fresh, directory)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "swap_in", swap_in)
        with pytest.raises(KilledError):
            run(tmp_path / "run", recipe_of(*overrides))
    assert [line["kind"] for line in metrics_of(tmp_path / "run")] == ["update", "update", "epoch"]
    resumed(tmp_path / "run", recipe_of(*overrides))
    assert lasting(tmp_path / "run") == lasting(whole(*overrides))
    assert not any(".new-" in name for name in files(tmp_path / "run"))


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_while_an_epoch_is_scored_saves_the_epoch_without_its_score(
    tmp_path, whole, monkeypatch
):
    real = training.evaluate

    def evaluate(*given):
        signal.raise_signal(signal.SIGINT)
        return real(*given)

    recipe = recipe_of("train.eval_batch_size=20", *EVERY)
    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", evaluate)
        with pytest.raises(KeyboardInterrupt, match="interrupted after update 2 of 4"):
            run(tmp_path / "run", recipe)
    assert states_in(tmp_path / "run") == ["00000001", "00000002"]
    resumed(tmp_path / "run", recipe)
    assert lasting(tmp_path / "run") == lasting(whole("train.eval_batch_size=20", *EVERY))


@pytest.mark.usefixtures("python_handler")
def test_a_state_that_is_gone_on_from_is_never_written_again(tmp_path, monkeypatch):
    from compacter_cli import files as durable

    real, moved = durable.swap_in, []

    def die(*_):
        raise KilledError

    def press(*_):
        signal.raise_signal(signal.SIGINT)
        raise StoppedError

    monkeypatch.setattr(training, "evaluate", die)
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe_of(*EVERY))
    monkeypatch.setattr(training, "evaluate", press)
    monkeypatch.setattr(durable, "swap_in", lambda *pair: moved.append(pair[1].name) or real(*pair))
    with pytest.raises(KeyboardInterrupt, match="interrupted after update 2 of 4"):
        resumed(tmp_path / "run", recipe_of(*EVERY))
    assert moved == ["last"]
    assert states_in(tmp_path / "run") == ["00000001", "00000002"]


def test_a_run_that_leaves_updates_out_goes_on_too(tmp_path, monkeypatch):
    from compacter_cli.t5.model import T5Model

    real = T5Model.summed_loss

    def summed_loss(self, batch, training=False, key=()):
        return real(self, batch, training, key) * (float("nan") if key[1] in (1, 2) else 1.0)

    monkeypatch.setattr(T5Model, "summed_loss", summed_loss)
    recipe = recipe_of(*EVERY, *PARTS, "train.not_finite=skip")
    for name in ("whole", "run"):
        watching = Watching() if name == "whole" else kill_at(update=4)
        try:
            with session_of(tmp_path / name, recipe, watching) as session:
                session.start(overwrite=False)
                session.train()
                session.finish()
        except KilledError:
            resumed(tmp_path / name, recipe)
        assert watching.lines[:2] == [
            f"update {step} is left out: its loss or gradient is not finite" for step in (2, 3)
        ]
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    lines = metrics_of(tmp_path / "run")
    assert [line.get("skipped", False) for line in lines[:4]] == [False, True, True, False]
    assert lines[1]["loss"] is None
    assert lines[4]["loss"] == pytest.approx((lines[0]["loss"] + lines[3]["loss"]) / 2)


@pytest.fixture
def killed(tmp_path):
    """A run that was killed at its fourth and last update; the third and the epoch are saved."""
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe_of(*EVERY), kill_at(update=4))
    assert states_in(tmp_path / "run") == ["00000002e", "00000003"]
    return tmp_path / "run"


def test_a_copy_elsewhere_goes_on(killed, tmp_path, whole):
    shutil.move(killed, tmp_path / "elsewhere")
    resumed(tmp_path / "elsewhere", recipe_of(*EVERY))
    assert lasting(tmp_path / "elsewhere") == lasting(whole(*EVERY))


def test_what_a_killed_process_left_half_written_is_gone_at_the_end(killed, whole):
    for name in ("best.new-4242", "state/00000004.new-4242"):
        (killed / name).mkdir()
        (killed / name / "half").write_text("")
    (killed / "best").rename(killed / "best.previous")
    resumed(killed, recipe_of(*EVERY))
    assert lasting(killed) == lasting(whole(*EVERY))
    assert files(killed) == files(whole(*EVERY))


def test_the_display_is_told_where_it_goes_on(killed):
    watching = Watching()
    resumed(killed, recipe_of(*EVERY), watching)
    assert watching.lines == ["going on after update 3 of 4"]
    assert watching.opened.updates == 4
    assert watching.seen == ["start at 3", "update 4", "epoch 2", "stop"]


def test_another_number_of_threads_is_said(killed, monkeypatch):
    watching, threads = Watching(), torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    resumed(killed, recipe_of(*EVERY), watching)
    told = f"threads was {threads} and is {threads + 1}: the last digits may differ"
    assert told in watching.lines


def damage(directory, name):
    path = directory / "state" / name / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_damaged_state_is_passed_over_and_said(killed, whole):
    damage(killed, "00000003")
    watching = Watching()
    resumed(killed, recipe_of(*EVERY), watching)
    assert watching.lines == [
        "the saved state 00000003 is damaged and left out: the hash of weights.safetensors is not "
        "the one written down",
        "going on after update 2 of 4",
    ]
    assert lasting(killed) == lasting(whole(*EVERY))


def test_a_damaged_state_is_an_error_where_it_is_asked_for(killed):
    damage(killed, "00000003")
    before = files(killed)
    with pytest.raises(CompacterError, match="are damaged: 00000003: the hash of") as caught:
        resumed(killed, recipe_of(*EVERY), strict=True)
    assert "--strict" in caught.value.hint
    assert files(killed) == before


def test_states_that_are_all_damaged_are_an_error_and_nothing_is_begun_again(killed):
    for name in states_in(killed):
        damage(killed, name)
    before = files(killed)
    with pytest.raises(CompacterError, match=r"00000003: .*; 00000002e: ") as caught:
        resumed(killed, recipe_of(*EVERY))
    assert "--overwrite" in caught.value.hint
    assert files(killed) == before


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda best: shutil.rmtree(best), "no adapter in"),
        (lambda best: (best / "adapter.safetensors").write_bytes(b""), "is damaged"),
    ],
)
def test_a_best_adapter_that_is_lost_is_an_error_at_once(killed, harm, said):
    harm(killed / "best")
    with pytest.raises(CompacterError, match=said):
        resumed(killed, recipe_of(*EVERY))
    assert states_in(killed) == ["00000002e", "00000003"]
    assert len(metrics_of(killed)) == 5


def test_nothing_saved_yet_begins_again(tmp_path, whole):
    with pytest.raises(KilledError):
        run(tmp_path / "run", recipe_of(*EVERY), kill_at(update=1))
    watching = Watching()
    resumed(tmp_path / "run", recipe_of(*EVERY), watching)
    assert watching.lines == ["nothing was saved yet: the run begins again"]
    assert lasting(tmp_path / "run") == lasting(whole(*EVERY))


def test_a_run_that_was_killed_right_after_it_took_its_directory_begins_again(tmp_path, whole):
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "recipe.toml").write_text(recipe_of(*EVERY).toml())
    (directory / ".lock").write_text("999999\n")
    resumed(directory, recipe_of(*EVERY))
    assert lasting(directory) == lasting(whole(*EVERY))
    assert ".lock" not in files(directory)


def test_a_finished_run_is_given_as_it_is(whole, monkeypatch):
    from compacter_cli.training.run import train

    directory = whole(*EVERY)
    monkeypatch.setattr(Session, "__enter__", lambda self: pytest.fail("something was loaded"))
    result = train(recipe=recipe_of(*EVERY), directory=directory, device="cpu", resume=True)
    assert result == json.loads((directory / "result.json").read_text())


@pytest.mark.parametrize("text", ["", "[1]"])
def test_a_finished_run_whose_result_is_damaged_keeps_its_adapters(tmp_path, whole, text):
    directory = Path(shutil.copytree(whole(*EVERY), tmp_path / "run"))
    (directory / "result.json").write_text(text)
    with pytest.raises(CompacterError, match=r"was finished, but its result\.json is damaged"):
        resumed(directory, recipe_of(*EVERY))
    assert files(directory) == files(whole(*EVERY))


def test_a_run_of_a_version_that_saved_no_states_keeps_its_adapters(tmp_path, whole):
    directory = Path(shutil.copytree(whole(*EVERY), tmp_path / "run"))
    (directory / "result.json").unlink()
    shutil.rmtree(directory / "state", ignore_errors=True)
    before = files(directory)
    with pytest.raises(CompacterError, match=r"holds a .* adapter but no state to go on from"):
        resumed(directory, recipe_of(*EVERY))
    assert files(directory) == before


@pytest.mark.parametrize("what", ["a foreign state", "no recipe"])
def test_what_is_no_run_is_not_begun_again(tmp_path, killed, what):
    shutil.rmtree(killed / "state")
    shutil.rmtree(killed / "best")
    shutil.rmtree(killed / "last")
    if what == "no recipe":
        (killed / "recipe.toml").unlink()
    else:
        (killed / "state").mkdir()
        (killed / "state" / "model.bin").write_text("precious")
    before = files(killed)
    with pytest.raises(UsageError, match="is no run to begin again"):
        resumed(killed, recipe_of(*EVERY))
    assert files(killed) == before


def test_a_run_killed_as_it_wrote_its_recipe_begins_again(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("1\n")
    (tmp_path / "run" / "recipe.toml.new-1").write_text("task =")
    assert resumed(tmp_path / "run", recipe_of(*EVERY))["best_epoch"] >= 1
    assert not (tmp_path / "run" / "recipe.toml.new-1").exists()


def test_the_best_adapter_of_another_run_is_not_taken_for_this_ones(killed, tmp_path):
    run(tmp_path / "other", recipe_of("seed=7"))
    shutil.rmtree(killed / "best")
    shutil.copytree(tmp_path / "other" / "best", killed / "best")
    with pytest.raises(CompacterError, match="is not the best adapter of this run"):
        resumed(killed, recipe_of(*EVERY))


def test_a_lost_recipe_is_written_again(killed):
    (killed / "recipe.toml").write_text("")
    resumed(killed, recipe_of(*EVERY))
    assert load_recipe(str(killed / "recipe.toml")) == recipe_of(*EVERY)


def test_a_state_that_cannot_be_read_just_now_is_not_removed(killed, monkeypatch):
    from compacter_cli.training import checkpoints

    def read(path, limit):
        raise OSError(errno.EIO, "Input/output error")

    before = states_in(killed)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read_file", read)
        with pytest.raises(CompacterError, match=r"cannot read the state in .*Input/output error"):
            resumed(killed, recipe_of(*EVERY))
    assert states_in(killed) == before


def test_a_damaged_result_beside_a_state_is_made_again(killed, whole):
    (killed / "result.json").write_text("")
    resumed(killed, recipe_of(*EVERY))
    assert lasting(killed) == lasting(whole(*EVERY))


def test_other_rows_are_refused(killed, monkeypatch):
    monkeypatch.setattr("compacter_cli.data.dataset.Dataset.fingerprint", lambda self: "f" * 64)
    with pytest.raises(UsageError, match="was begun with other rows"):
        resumed(killed, recipe_of(*EVERY))
    assert states_in(killed) == ["00000002e", "00000003"]


def test_a_run_that_another_process_writes_is_not_gone_on_with(killed):
    lock = Lock(killed).take()
    with pytest.raises(UsageError, match="is being written by another process"):
        resumed(killed, recipe_of(*EVERY))
    lock.release()


def test_what_changes_no_result_may_change_on_the_way(killed, whole):
    recipe = recipe_of("train.dropout=0.1", "train.save_every=7", "output.root=elsewhere")
    resumed(killed, recipe)
    expected, found = lasting(whole(*EVERY)), lasting(killed)
    assert found == expected


# Ctrl-C.


@pytest.fixture
def python_handler():
    """Ctrl-C as an interactive Python has it, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_at(*steps):
    return lambda step: signal.raise_signal(signal.SIGINT) if step in steps else None


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_ends_the_step_and_saves_last(tmp_path):
    watching = Watching(on_update=press_at(1))
    with session_of(tmp_path / "run", display=watching) as session:
        session.start(overwrite=False)
        with pytest.raises(KeyboardInterrupt) as caught:
            session.train()
        assert same(tmp_path / "run" / "last", session.model.trained_tensors())
    assert f"--output {tmp_path / 'run'} --device cpu --resume" in str(caught.value)
    assert caught.value.exit_code == 130
    assert watching.seen == ["start", "update 1", "stop"]
    assert [entry["kind"] for entry in metrics_of(tmp_path / "run")] == ["update"]
    assert load_adapter(tmp_path / "run" / "last").manifest["metrics"] == {}
    assert not (tmp_path / "run" / "best").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_the_first_update_names_the_command_that_begins_again(tmp_path):
    class Pressing(Display):
        def opening(self, opening):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="before the first update") as caught:
        run(tmp_path / "run", display=Pressing())
    assert f"--output {tmp_path / 'run'} --device cpu --resume" in str(caught.value)
    with session_of(tmp_path / "run") as session:
        session.resume()
        session.train()
    assert session.best is not None


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_in_a_later_epoch_keeps_the_best_of_before(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", display=Watching(on_update=press_at(3)))
    assert load_adapter(tmp_path / "run" / "best").manifest["metrics"]["epoch"] == 1
    last, best = (load_adapter(tmp_path / "run" / which).tensors for which in ("last", "best"))
    assert not any(torch.equal(last[name], best[name]) for name in best)
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_during_the_last_evaluation_is_not_forgotten(tmp_path):
    press = Watching(on_epoch=press_at(2))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", display=press)
    load_adapter(tmp_path / "run" / "last")


@pytest.mark.usefixtures("python_handler")
def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def press_twice(step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    watching = Watching(on_update=press_twice)
    with pytest.raises(
        KeyboardInterrupt, match="what was saved last is whole; go on with: compact"
    ):
        run(tmp_path / "run", display=watching)
    assert watching.seen == ["start", "update 1", "stop"]
    assert not (tmp_path / "run" / "last").exists()
