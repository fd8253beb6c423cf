"""From a run to a preset that answers as the run does; nothing that is there is touched."""

import json

import pytest
from typer.testing import CliRunner

from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.adapters.restoring import recipe_of_manifest
from compacter_cli.commands.convert import check_directory, convert
from compacter_cli.commands.convert_words import show
from compacter_cli.errors import UsageError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training.run import train


@pytest.fixture(autouse=True)
def quick(keras, monkeypatch):
    """Without the collection of garbage, which takes longer than an epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture(scope="module")
def lora_run(keras, tmp_path_factory):
    """A short, finished run of LoRA with a trained head, in bfloat16. Do not change it."""
    directory = tmp_path_factory.mktemp("runs") / "lora"
    method = 'method={name="lora", train_output_layer=true}'
    sets = [method, "train.epochs=1", "train.warmup_steps=1", "data.max_train_samples=40"]
    sets += ["backbone.precision=bfloat16"]
    train(recipe=load_recipe("demo/smoke_compacterpp", sets), directory=directory, device="cpu")
    return directory


def call(*args):
    return CliRunner().invoke(app, ["convert", "--device", "cpu", *map(str, args)])


def refused(result, code):
    """The message and the hint of a command that ended in one line and a hint."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("next: ")
    return error, hint


def test_the_preset_computes_the_runs_logits_in_float32(lora_run, tmp_path):
    result = call(lora_run, tmp_path / "made", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["to"], found["method"], found["task"]) == ("keras-hub", "lora", "demo/smoke")
    assert found["folded"]["untied"]
    assert found["compared"]["on"] == "validation"
    assert found["compared"]["largest_difference"] < 1e-4 * found["compared"]["largest_logit"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    recipe = recipe_of_manifest(read_manifest(lora_run / "best"), lora_run / "best")
    assert recipe.backbone.precision == "bfloat16"


def test_what_was_made_is_told_with_how_to_answer_with_it(lora_run, tmp_path):
    made = tmp_path / "made"
    made.mkdir()  # an empty directory may be there
    result = call(lora_run, made)
    assert result.exit_code == 0, result.output
    assert "LoRA on demo/smoke, folded into " in result.stdout
    assert "; its head, trained as a copy, is untied\n" in result.stdout
    assert "largest difference of the logits: " in result.stdout
    assert "64 examples: validation\n" in result.stdout
    last = result.stdout.splitlines()[-1]
    command = f"keras_hub.models.T5Seq2SeqLM.from_preset('{made}').generate(text)"
    assert last == f"next: answer with it, in Python: {command}"


def test_where_the_rows_are_gone_it_says_that_tokens_are_random(lora_run, capsys):
    compared = {"largest_difference": 1.2e-6, "largest_logit": 31.0, "examples": 64}
    compared |= {"on": "random tokens", "why": "the rows are gone"}
    folded = {"tensors": 2, "of_tensors": 4, "parameters": 1_000, "of_parameters": 3_000}
    found = {"to": "keras-hub", "directory": "made", "adapter": "run/best", "method": "lora"}
    found |= {"folded": {**folded, "untied": False}, "compared": compared}
    recipe = load_recipe(str(lora_run / "recipe.toml"))
    show({**found, "task": "demo/smoke", "prefix": "smoke"}, recipe)
    told = capsys.readouterr()
    assert told.err == (
        "note: compared on random tokens, for there were no rows: the rows are gone\n"
    )
    assert told.out.splitlines()[:4] == [
        "LoRA on demo/smoke, folded into 2 of 4 weight tensors (1,000 of 3,000 parameters), "
        "in float32",
        "largest difference of the logits: 1.2e-06 (they reach 31), on 64 examples: random tokens",
        "texts are read as in training: smoke sentence: ...",
        "wrote made; backbone.preset and KerasHub's from_preset take it",
    ]


def test_a_bottleneck_is_refused_and_nothing_is_left(smoke_run, tmp_path):
    error, hint = refused(call(smoke_run, tmp_path / "made"), 2)
    assert "bottleneck adapters, which are not linear" in error
    assert "compacter predict" in hint
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_not_touched(lora_run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        error, _ = refused(call(lora_run, place), 2)
        assert "exists and is never overwritten" in error
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.txt", "mine")]


def test_what_cannot_be_replaced_whole_is_told_before_anything_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path / "empty")
    for place in (tmp_path / "empty", tmp_path / "link", tmp_path / "dangling"):
        with pytest.raises(UsageError) as caught:
            check_directory(place)
        assert "new" in caught.value.hint
    check_directory(tmp_path / "none" / "there")


def test_a_failure_in_the_middle_leaves_nothing(lora_run, tmp_path, monkeypatch):
    def full(*_, **__):
        assert list(tmp_path.glob("made.new-*/model.weights.h5"))
        assert not (tmp_path / "made").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compacter_cli.exchange.folding._compared", full)
    error, _ = refused(call(lora_run, tmp_path / "made"), 1)
    assert "made: No space left on device" in error
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_and_no_run_are_refused(lora_run, tmp_path):
    error, _ = refused(call(lora_run, tmp_path / "made", "--to", "gguf"), 2)
    assert "--to gguf: no such format" in error
    error, _ = refused(call(tmp_path, tmp_path / "made"), 2)
    assert "is no run directory" in error


def test_a_recipe_of_another_adapter_is_refused_in_python(keras, lora_run, tmp_path):
    with pytest.raises(UsageError, match="which cannot be changed any more"):
        convert(
            adapter=lora_run / "best",
            recipe=load_recipe("demo/smoke_compacterpp"),
            directory=tmp_path / "made",
            device="cpu",
        )
    assert list(tmp_path.iterdir()) == []
