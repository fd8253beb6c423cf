"""`compacter pretrain`: from a text file to a preset, interrupted or not."""

import json
import math
import shlex
import shutil
import signal
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compacter_cli.commands import pretrain as command
from compacter_cli.commands.pretrain import pretrain
from compacter_cli.main import app
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import load_backbone
from compacter_cli.training.display import Display
from compacter_cli.training.run import train

TINY = (
    "vocabulary.size=150", "vocabulary.sentinels=8", "backbone.hidden_dim=16",
    "backbone.intermediate_dim=32", "backbone.num_layers=1", "backbone.num_heads=2",
    "backbone.key_value_dim=8", "backbone.dropout=0.1", "train.steps=12", "train.batch_size=8",
    "train.length=16", "train.warmup_steps=2", "train.eval_every=5", "train.save_every=4",
    "output.precision=float32",
)  # fmt: skip
FILES = [
    "assets/tokenizer/vocabulary.spm", "config.json", "metadata.json", "metrics.jsonl",
    "model.weights.h5", "preprocessor.json", "pretraining.json", "recipe.toml", "task.json",
    "tokenizer.json",
]  # fmt: skip
UNFINISHED = [
    "metrics.jsonl", "recipe.toml", "state/state.json", "state/state.safetensors",
    "state/vocabulary.spm",
]  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text of 200 made-up lines. Do not change it."""
    parts = ["ba", "ko", "ri", "tu", "mel", "gor", "sim"]
    words = [a + b + c for a in parts for b in parts for c in parts]
    lines = [" ".join(words[n * k % 343] for k in range(3, 4 + n % 9)) for n in range(1, 201)]
    path = tmp_path_factory.mktemp("text") / "my.txt"
    path.write_text("\n".join(f"{line} {n}." for n, line in enumerate(lines)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def recipe(text):
    return load_pretraining("demo/pretrain", [*TINY, f'text.files=["{text}"]'])


@pytest.fixture(scope="module")
def finished(keras, recipe, tmp_path_factory):
    """(directory, result) of a pretraining that never stopped. Do not change it."""
    directory = tmp_path_factory.mktemp("pretrained") / "whole"
    return directory, pretrain(recipe=recipe, directory=directory, device="cpu")


@pytest.fixture
def call(text):
    """Runs the command on the text, with a tiny T5."""

    def run(*args, sets=TINY, files=True):
        given = [f'text.files=["{text}"]'] if files else []
        options = [part for each in (*sets, *given) for part in ("--set", each)]
        start = ["pretrain", "--recipe", "demo/pretrain", "--device", "cpu", *options]
        return CliRunner().invoke(app, [*start, *map(str, args)])

    return run


class Pressing(Display):
    """Presses Ctrl-C after a step."""

    def __init__(self, step):
        self.pressed_after = step

    def update(self, update):
        if update.step == self.pressed_after:
            signal.raise_signal(signal.SIGINT)


def cut_after(step, **given):
    """A pretraining that Ctrl-C ends after a step."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=f"interrupted after step {step} of 12"):
            pretrain(**given, device="cpu", display=Pressing(step))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(keras, recipe, tmp_path):
    """Makes the directory of a pretraining that was interrupted after a step."""

    def make(step):
        cut_after(step, recipe=recipe, directory=tmp_path / "cut")
        return tmp_path / "cut"

    return make


def files(directory):
    """What a pretraining wrote; its log, which has times, set apart."""
    paths = sorted(path for path in Path(directory).rglob("*") if path.name != "log.txt")
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths if path.is_file()}


def assert_one_line(result, code):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def assert_same_run(directory, finished):
    """The same weights, vocabulary and metrics, bit for bit, as the run that never stopped."""
    found, wanted = files(directory), files(finished[0])
    assert sorted(found) == FILES
    for name in ("assets/tokenizer/vocabulary.spm", "metrics.jsonl", "recipe.toml"):
        assert found[name] == wanted[name], name
    # The fingerprint is over all weights, float32 here; the file also holds names that Keras counts
    # up within a process.
    assert load_backbone(str(directory)).fingerprint == finished[1]["fingerprint"]
    summaries = [json.loads(each["pretraining.json"]) for each in (found, wanted)]
    for summary in summaries:
        summary.pop("training_seconds")
    assert summaries[0] == summaries[1]


# What it leaves.


def test_it_leaves_a_preset_with_its_recipe_metrics_and_summary(finished, recipe):
    directory, result = finished
    assert sorted(files(directory)) == FILES
    assert load_pretraining(str(directory / "recipe.toml")) == recipe
    assert result == {
        "preset": str(directory),
        **json.loads((directory / "pretraining.json").read_text()),
    }


def test_the_summary_says_what_was_trained_on_what(finished):
    directory, result = finished
    text = result["text"]
    assert (text["passages"], text["held_out"], text["repeated"]) == (180, 20, 0)
    assert result["steps"] == 12
    assert result["vocabulary"] == 150
    # By hand: 150 x 16 embedding, 4 + 8 attention matrices of 16 x 16, 2 x 2 of 16 x 32,
    # 2 biases of 32 x 2, 7 norms of 16.
    assert result["parameters"] == 2400 + 12 * 256 + 4 * 512 + 128 + 112
    assert result["weights_bytes"] == (directory / "model.weights.h5").stat().st_size
    assert result["precision"] == "float32"
    assert result["versions"]["packages"]["keras"]
    losses = result["validation_loss"]
    assert all(math.isfinite(loss) for loss in losses.values())
    assert losses["end"] < losses["start"]
    assert losses["stored"] == losses["end"]


def test_metrics_have_a_line_for_every_update_and_validation(finished):
    lines = [json.loads(line) for line in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "update"] == list(range(1, 13))
    validations = {line["step"]: line["loss"] for line in lines if line["kind"] == "validation"}
    assert list(validations) == [0, 5, 10, 12]
    losses = finished[1]["validation_loss"]
    assert (validations[0], validations[12]) == (losses["start"], losses["end"])


def test_what_it_leaves_is_a_backbone_with_the_vocabulary_of_the_text(finished):
    directory, result = finished
    backbone = load_backbone(str(directory))
    assert backbone.fingerprint == result["fingerprint"]
    assert len(backbone.vocabulary) == 150
    ids = backbone.vocabulary.encode(["bako <extra_id_7>"])[0]
    assert backbone.vocabulary.decode(ids) == "bako <extra_id_7>"


def test_train_fine_tunes_it(finished, tmp_path):
    sets = (
        f"backbone.preset={finished[0]}", "train.epochs=1", "data.max_train_samples=20",
        "method.bottleneck=4", "data.source_length=64", "data.target_length=16",
    )  # fmt: skip
    recipe = load_recipe("demo/smoke_compacterpp", sets)
    result = train(recipe=recipe, directory=tmp_path / "run", device="cpu")
    assert result["backbone_parameters"] == finished[1]["parameters"]


def test_no_steps_write_the_random_start_rounded_as_asked(keras, text, finished, tmp_path):
    sets = [*TINY, f'text.files=["{text}"]', "train.steps=0", "output.precision=float16"]
    recipe = load_pretraining("demo/pretrain", sets)
    result = pretrain(recipe=recipe, directory=tmp_path / "p", device="cpu")
    assert result["steps"] == 0
    losses = result["validation_loss"]
    assert losses["start"] == losses["end"] == finished[1]["validation_loss"]["start"]
    assert losses["stored"] == pytest.approx(losses["end"], abs=1e-3)
    assert losses["stored"] != losses["end"]
    assert result["precision"] == "float16"
    assert result["weights_bytes"] < finished[1]["weights_bytes"]
    assert sorted(files(tmp_path / "p")) == FILES
    assert load_backbone(str(tmp_path / "p")).fingerprint == result["fingerprint"]


def test_the_seed_decides_the_weights_and_not_the_vocabulary(keras, finished, text, tmp_path):
    sets = [*TINY, f'text.files=["{text}"]', "seed=7", "train.steps=1"]
    recipe = load_pretraining("demo/pretrain", sets)
    result = pretrain(recipe=recipe, directory=tmp_path / "p", device="cpu")
    assert result["fingerprint"] != finished[1]["fingerprint"]
    name = "assets/tokenizer/vocabulary.spm"
    assert (tmp_path / "p" / name).read_bytes() == (finished[0] / name).read_bytes()


# Going on.


def test_a_run_interrupted_twice_is_the_run_that_never_stopped(interrupted, recipe, finished):
    directory = interrupted(5)  # a validation is due
    assert sorted(files(directory)) == UNFINISHED
    cut_after(9, recipe=recipe, directory=directory, resume=True)
    pretrain(recipe=recipe, directory=directory, resume=True, device="cpu")
    assert_same_run(directory, finished)


def test_a_process_that_was_killed_goes_on_from_its_last_save(keras, recipe, finished, tmp_path):
    # As a kill leaves it: after step 6 of which step 4 was saved, nothing saved on the way out.
    class Killed(BaseException):
        pass

    def kill(update):
        if update.step == 6:
            raise Killed

    killing, directory = Display(), tmp_path / "cut"
    killing.update = kill
    with pytest.raises(Killed):
        pretrain(recipe=recipe, directory=directory, device="cpu", display=killing)
    assert sorted(files(directory)) == UNFINISHED
    assert json.loads((directory / "state" / "state.json").read_text())["step"] == 4
    assert '"step": 6' in (directory / "metrics.jsonl").read_text().splitlines()[-1]
    pretrain(recipe=recipe, directory=directory, resume=True, device="cpu")
    assert_same_run(directory, finished)


def test_a_preset_that_could_not_be_written_is_written_on_the_next_try(
    keras, recipe, finished, tmp_path, monkeypatch, call
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compacter_cli.pretraining.preset.move_into", full)
    directory = tmp_path / "p"
    line = assert_one_line(call("--output", directory), 1)
    assert "No space left" in line
    assert "config.json" not in files(directory)
    assert sorted({*files(directory)} - {"pretraining.json"}) == UNFINISHED
    monkeypatch.undo()
    pretrain(recipe=recipe, directory=directory, resume=True, device="cpu")
    assert_same_run(directory, finished)


def test_a_text_that_changed_meanwhile_is_not_gone_on_with(interrupted, recipe, text):
    directory = interrupted(3)
    before, content = files(directory), text.read_bytes()
    try:
        text.write_bytes(content + b"\none line more\n")
        with pytest.raises(Exception, match="the text is not the one"):
            pretrain(recipe=recipe, directory=directory, resume=True, device="cpu")
    finally:
        text.write_bytes(content)
    assert files(directory) == before


# Exercises of the demo world.


@pytest.fixture
def world(monkeypatch, keras):
    """The demo world without the sentences of its tasks, which take long to make: the recipe."""
    monkeypatch.setattr("compacter_cli.pretraining.corpus.demo_sentences", frozenset)
    sets = [*TINY, "text.world=100", "text.world_exercises=60", "train.exercise_share=0.4"]
    return load_pretraining("demo/pretrain", sets)


def test_a_run_with_exercises_goes_on_bit_for_bit(world, tmp_path):
    whole = tmp_path / "whole", pretrain(recipe=world, directory=tmp_path / "whole", device="cpu")
    directory = tmp_path / "cut"
    cut_after(5, recipe=world, directory=directory)
    pretrain(recipe=world, directory=directory, resume=True, device="cpu")
    assert_same_run(directory, whole)
    assert whole[1]["text"]["passages"] + whole[1]["text"]["held_out"] <= 100


def test_exercises_are_said_and_train_the_weights(world, tmp_path):
    shown, prints = [], {}
    for share in (0.4, 0.0):
        train = world.train.model_copy(update={"exercise_share": share})
        watching, lines = Display(), []
        watching.line = lines.append
        result = pretrain(
            recipe=world.model_copy(update={"train": train}),
            directory=tmp_path / str(share), device="cpu", display=watching,
        )  # fmt: skip
        prints[share] = result["fingerprint"]
        shown.append(" ".join(lines))
        # 12 steps, 8 pieces a step or 5 of them
        pieces = 12 * (5 if share else 8) / result["text"]["times_seen"]
        assert pieces == pytest.approx(round(pieces))
    assert "60 exercises" in shown[0]
    assert "12 steps of 5 pieces and 3 exercises, the text" in shown[0]
    assert "12 steps of 8 pieces, the text" in shown[1]
    assert prints[0.4] != prints[0.0]


def test_a_text_of_ones_own_has_no_exercises(finished):
    recipe = tomllib.loads((finished[0] / "recipe.toml").read_text())
    assert recipe["text"]["world_exercises"] == 0


# The command.


def test_the_command_shows_what_it_does_and_how_it_ended(call, tmp_path):
    directory = tmp_path / "p"
    result = call("--output", directory)
    assert result.exit_code == 0, result.output
    shown = result.stderr
    for words in (
        "180 passages", "20 held out", "150 pieces", "8 of them sentinels", "7,760 parameters",
        "12 steps of 8 pieces", "times", "step 12/12", "step 0: validation loss", "writing to",
    ):  # fmt: skip
        assert words in shown, words
    rows = {line.split("  ")[0]: line.split()[-1] for line in result.stdout.splitlines() if line}
    losses = json.loads((directory / "pretraining.json").read_text())["validation_loss"]
    assert rows["random start"] == f"{losses['start']:.4f}"
    assert rows["after 12 steps"] == f"{losses['end']:.4f}"
    assert rows["as stored, in float32"] == f"{losses['stored']:.4f}"
    last = result.stdout.splitlines()[-1]
    assert last.startswith("next: compacter train --recipe glue/rte_compacterpp.toml --set ")
    assert last.endswith(f"backbone.preset={directory}")


def test_json_is_the_whole_of_stdout(call, tmp_path):
    result = call("--output", tmp_path / "p", "--json", sets=[*TINY, "train.steps=0"])
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "p" / "pretraining.json").read_text())
    assert json.loads(result.stdout) == {"preset": str(tmp_path / "p"), **summary}
    assert result.stderr == ""


def test_ctrl_c_in_the_command_exits_130_and_says_how_to_go_on(
    call, tmp_path, monkeypatch, finished
):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("compacter_cli.commands.progress.display_for", lambda quiet: Pressing(2))
    try:
        result = call("--output", tmp_path / "my preset", "--threads", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert last.startswith("interrupted after step 2 of 12; go on with: compacter pretrain ")
    monkeypatch.undo()
    words = shlex.split(last.partition("go on with: compacter ")[2])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "--device cpu --threads 1 --resume" in last
    assert "from step 2 on" in result.stderr
    log = (tmp_path / "my preset" / "log.txt").read_text()
    assert "interrupted after step 2 of 12" in log
    assert "from step 2 on" in log
    assert_same_run(tmp_path / "my preset", finished)


@pytest.mark.parametrize("change", ["text={{files=['{}']}}", 'text.files=["{}"]'])
def test_both_ways_to_give_a_text_of_ones_own(call, text, tmp_path, change):
    given = [*TINY, "train.steps=0", change.format(text)]
    result = call("--output", tmp_path / "p", sets=given, files=False)
    assert result.exit_code == 0, result.output
    recipe = tomllib.loads((tmp_path / "p" / "recipe.toml").read_text())
    assert recipe["text"]["files"] == [str(text)]
    assert "world" not in recipe["text"]


# What goes wrong.


@pytest.fixture
def untrained(monkeypatch):
    """Fails a test that goes on to train."""
    monkeypatch.setattr(command, "pretrain", lambda **_: pytest.fail("went on to train"))


def test_a_taken_directory_is_refused_and_stays(untrained, call, finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "p")
    line = assert_one_line(call("--output", directory), 2)
    assert "holds a finished pretraining already" in line
    assert files(directory) == files(finished[0])


def test_a_folder_of_other_things_is_refused_even_with_overwrite(untrained, call, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    line = assert_one_line(call("--output", tmp_path, "--overwrite"), 2)
    assert "never overwritten" in line


def test_overwrite_replaces_all_of_it(call, finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "p")
    (directory / "assets" / "old.txt").write_text("of the old one")
    result = call("--output", directory, "--overwrite")
    assert result.exit_code == 0, result.output
    assert_same_run(directory, finished)


def test_a_text_that_cannot_be_read_leaves_the_old_preset(call, finished, tmp_path):
    directory = shutil.copytree(finished[0], tmp_path / "p")
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xfe\n")
    bad = [*TINY, f'text.files=["{tmp_path / "bad.txt"}"]']
    line = assert_one_line(call("--output", directory, "--overwrite", sets=bad, files=False), 1)
    assert "bad.txt, line 2: not UTF-8" in line
    assert files(directory) == files(finished[0])


def test_resume_and_overwrite_exclude_each_other(untrained, call, tmp_path):
    line = assert_one_line(call("--output", tmp_path, "--resume", "--overwrite"), 2)
    assert "--resume" in line


def test_a_finished_one_is_told_and_not_gone_on_with(untrained, call, finished):
    result = call("--output", finished[0], "--resume", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == finished[1]
    assert "is finished: there is nothing to go on with" in result.stderr


def test_another_recipe_is_not_gone_on_with(untrained, call, interrupted):
    directory = interrupted(3)
    line = assert_one_line(call("--output", directory, "--resume", "--set", "seed=1"), 2)
    assert "seed (42 there, 1 here)" in line


def test_a_damaged_state_is_one_line(call, interrupted):
    directory = interrupted(3)
    path = directory / "state" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert "is damaged" in assert_one_line(call("--output", directory, "--resume"), 1)


def test_a_loss_that_is_not_finite_exits_1_with_advice_and_keeps_the_state(
    call, tmp_path, monkeypatch, keras
):
    from compacter_cli.t5.model import T5Model

    real, factors = T5Model.summed_loss, iter([1.0, 1.0, math.inf])

    def summed_loss(*given, training=False, **how):
        loss = real(*given, training=training, **how)
        return loss * next(factors) if training else loss

    monkeypatch.setattr(T5Model, "summed_loss", summed_loss)
    result = call("--output", tmp_path / "p", sets=[*TINY, "train.save_every=1"])
    line = assert_one_line(result, 1)
    assert "is not finite at step 3" in line
    assert "train.learning_rate" in result.stderr.splitlines()[-1]
    assert sorted(files(tmp_path / "p")) == UNFINISHED
    assert json.loads((tmp_path / "p" / "state" / "state.json").read_text())["step"] == 2


def test_a_missing_file_exits_3_at_once(untrained, call, tmp_path):
    sets = [f'text.files=["{tmp_path / "gone.txt"}"]']
    line = assert_one_line(call("--output", tmp_path / "p", sets=sets, files=False), 3)
    assert "gone.txt" in line
    assert not (tmp_path / "p").exists()


def test_problems_of_the_recipe_exit_2(untrained, call, tmp_path):
    result = call("--output", tmp_path / "p", "--set", "train.step=3")
    assert result.exit_code == 2
    assert 'did you mean "steps"?' in result.stderr


def test_each_command_names_the_other_for_the_others_recipe(untrained, tmp_path):
    run = lambda *words: CliRunner().invoke(app, list(words))  # noqa: E731
    result = run("pretrain", "--recipe", "demo/smoke_compacterpp", "--output", str(tmp_path / "p"))
    assert "is a recipe of training" in assert_one_line(result, 2)
    result = run("train", "--recipe", "demo/pretrain")
    assert "is a recipe of pretraining" in assert_one_line(result, 2)
    assert "compacter pretrain --recipe demo/pretrain" in result.stderr
