import json
import signal

import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.data.sources import find_rows
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import fingerprint_of
from compacter_cli.tasks import task_of
from compacter_cli.training import loop as training
from compacter_cli.training.display import Display
from compacter_cli.training.records import Result
from compacter_cli.training.scoring import Scores
from compacter_cli.training.session import Session


@pytest.fixture(autouse=True)
def quick(keras, monkeypatch):
    """Without the collection of garbage, which takes longer than an epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)


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
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


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

    def evaluate(model, vocabulary, task, dataset, split, size, device):
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

        def evaluate(model, vocabulary, task, dataset, split, size, device):
            seen[split] = same(tmp_path / "run" / "best", model.trained_tensors())
            return Scores({"accuracy": 33.0}, {"accuracy": 54.0}, 100, 1), []

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
    assert result["validation"]["metrics"] == {"accuracy": 80.0}
    assert (result["test"]["count"], result["paper"]) == (100, None)
    assert result["run"] == str(tmp_path / "run")
    assert set(result) == set(Result.__annotations__)


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
    from compacter_cli.t5.placement import backbone_weights

    session = run(tmp_path / "run", recipe_of("train.epochs=1"))
    assert fingerprint_of(backbone_weights(session.backbone.keras)) == session.backbone.fingerprint


def test_bfloat16_trains_float32_weights_of_a_bfloat16_backbone(tmp_path):
    from compacter_cli.t5.placement import backbone_weights

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
    assert f"--output {tmp_path / 'run'} --resume" in str(caught.value)
    assert caught.value.exit_code == 130
    assert watching.seen == ["start", "update 1", "stop"]
    assert [entry["kind"] for entry in metrics_of(tmp_path / "run")] == ["update"]
    assert load_adapter(tmp_path / "run" / "last").manifest["metrics"] == {}
    assert not (tmp_path / "run" / "best").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", display=watching)
    assert watching.seen == ["start", "update 1", "stop"]
    assert not (tmp_path / "run" / "last").exists()
