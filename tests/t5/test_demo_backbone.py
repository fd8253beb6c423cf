"""The demo backbone as shipped: it loads, knows its world's words, and trains."""

import json

import pytest

from compacter_cli.commands.evaluate import evaluate
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.preset_places import find_vocabulary
from compacter_cli.t5.shapes import DEMO_PRESET, local_directory, shape_of
from compacter_cli.t5.vocabulary import UNKNOWN
from compacter_cli.tasks import DEMO_TASKS
from compacter_cli.training.run import train


@pytest.fixture(scope="module")
def made():
    """What its pretraining said of itself."""
    return json.loads((local_directory(DEMO_PRESET) / "pretraining.json").read_text())


def test_it_is_what_the_shipped_recipe_makes(made):
    recipe, shape = load_pretraining("demo/pretrain"), shape_of(DEMO_PRESET)
    assert (made["seed"], made["steps"]) == (recipe.seed, recipe.train.steps)
    assert made["precision"] == recipe.output.precision == "float16"
    assert shape == recipe.backbone.shape(made["vocabulary"])
    assert made["parameters"] == shape.parameters()
    assert made["validation_loss"]["stored"] < made["validation_loss"]["start"] / 4


def test_it_loads_with_the_weights_that_were_made(keras, made):
    backbone = load_backbone(DEMO_PRESET)
    assert backbone.fingerprint == made["fingerprint"]
    assert len(backbone.vocabulary) == made["vocabulary"]


def test_it_is_small_enough_to_ship(made):
    size = sum(
        path.stat().st_size for path in local_directory(DEMO_PRESET).rglob("*") if path.is_file()
    )
    assert size < 4_000_000
    weights = local_directory(DEMO_PRESET) / "model.weights.h5"
    assert weights.stat().st_size == made["weights_bytes"]


def test_words_of_the_demo_tasks_are_few_pieces():
    vocabulary = find_vocabulary(DEMO_PRESET)
    rows = [(task, row) for task in DEMO_TASKS for rows in task.generate().values() for row in rows]
    words = [word for task, row in rows for field in task.fields for word in row[field].split()]
    pieces = dict(zip(set(words), vocabulary.encode(set(words)), strict=True))
    assert not any(UNKNOWN in ids for ids in pieces.values())
    assert max(map(len, pieces.values())) <= 8  # a rare one, with a capital and a full stop
    assert sum(len(pieces[word]) for word in words) / len(words) < 1.35
    letters = "".join(words)
    assert vocabulary.decode(vocabulary.encode([letters])[0]) == letters


@pytest.mark.slow
def test_a_short_training_on_it_is_evaluated_alike_from_its_file(keras, tmp_path):
    sets = ["train.epochs=1", "data.max_train_samples=200", "train.warmup_steps=1"]
    recipe = load_recipe("demo/entailment_compacterpp", sets)
    result = train(recipe=recipe, directory=tmp_path / "run", device="cpu", offline=True)
    assert result["trained_parameters"] < 0.02 * result["backbone_parameters"]
    # 4 bytes a parameter, and the names of the tensors.
    assert 4 * result["trained_parameters"] < result["adapter_bytes"] < 60_000
    assert (result["test"]["count"], result["preset"]) == (500, DEMO_PRESET)
    again = evaluate(adapter=tmp_path / "run" / "best", recipe=recipe, device="cpu", offline=True)
    assert again["metrics"] == result["test"]["metrics"]
    # By its name, so that the run can be copied to another machine.
    assert 'preset = "demo/t5"' in (tmp_path / "run" / "recipe.toml").read_text()
