"""A method that is in no paper, registered here, goes wherever the paper's twelve go."""

import json
from typing import ClassVar, Literal

import pytest
from compacter_layers import AddedBias
from pydantic import PositiveInt
from typer.testing import CliRunner

from compacter_cli.commands import profile_tables
from compacter_cli.commands.count_params import count_params
from compacter_cli.main import app
from compacter_cli.methods import METHODS
from compacter_cli.methods.base import Component, Efficient
from compacter_cli.paper.tables import paper_scores
from compacter_cli.profiling import comparison
from compacter_cli.profiling.deltas import paper_deltas
from compacter_cli.profiling.worker import carry_out
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.shapes import RANDOM_TINY_SHAPE, T5Shape
from compacter_cli.tasks import TASKS

RECIPE = """
task = "demo/smoke"

[backbone]
preset = "random/tiny"

[method]
name = "shift"

[train]
epochs = 1
batch_size = 20
warmup_steps = 1

[data]
max_train_samples = 40
"""
K = RANDOM_TINY_SHAPE.hidden_dim


class Shift(Efficient):
    """A vector added to what the decoder's last feed-forwards give; part of it has no words."""

    name: Literal["shift"] = "shift"
    blocks: PositiveInt = 1

    title = "Output Shift"
    learning_rate = 2e-2
    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "last": Component("the last block's", "last shift"),
    }

    def sites(self, shape):
        first = max(0, shape.num_layers - self.blocks)
        return [f"decoder.{n}.feed_forward.output" for n in range(first, shape.num_layers)]

    def count_added(self, shape):
        k, sites = shape.hidden_dim, len(self.sites(shape))
        return {"last": k, "earlier_shifts": (sites - 1) * k}

    def build(self, shape, seed, dtype="float32", weights=None):
        layers = {site: AddedBias(dtype=dtype) for site in self.sites(shape)}
        for layer in layers.values():
            layer.build((None, shape.hidden_dim))
        return layers


class TwoShifts(Shift):
    """The same in two blocks, where nothing else is said."""

    blocks: PositiveInt = 2


@pytest.fixture(autouse=True)
def registered(keras, monkeypatch):
    monkeypatch.setitem(METHODS, "shift", Shift)
    monkeypatch.setattr("gc.collect", lambda: 0)  # longer than an epoch of these sizes


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "shift.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return str(path)


def run(*arguments):
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def rows_of(text, name):
    return [line.split() for line in text.splitlines() if line.split()[:1] == [name]]


def test_its_components_are_columns_behind_the_usual_ones(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # which all components fit, and not the paper's figures
    shown = run("count-params").stdout
    head = next(line for line in shown.splitlines() if line.startswith("method"))
    assert " ".join(head.split()) == (
        "method adapters rule A biases norms prompts subspace last shift trained"
    )
    components, papers = rows_of(shown, "shift")
    assert components == ["shift", *"------", "768", "768"]
    percent = f"{100 * 768 / 222_882_048:.4f}"
    assert papers == ["shift", percent, "-", percent, "1.000", "-", "1.000", "1.000", "-"]
    assert len(rows_of(shown, "compacter")) == 2
    assert rows_of(shown, "compacter")[0][-2:] == ["-", "161,728"]


def test_a_component_without_words_says_its_name(monkeypatch):
    monkeypatch.setitem(METHODS, "shift", TwoShifts)
    (item,) = count_params(methods=["shift"])
    assert item.components == {"last": 768, "earlier_shifts": 768}
    assert item.columns() == {"last shift": 768, "earlier shifts": 768}
    head = run("count-params", "--method", "shift").stdout.splitlines()[1]
    assert head.split("  ") == ["method", "last shift", "earlier shifts", "trained"]


def test_as_json_it_has_no_figures_of_the_paper():
    (found,) = json.loads(run("count-params", "--method", "shift", "--json").stdout)
    assert found["settings"] == {"name": "shift", "train_output_layer": False, "blocks": 1}
    assert found["components"] == {"last": 768}
    assert found["closed_form"] is None
    assert found["paper"] == {"percent": None, "table1": None, "table2": None}


def test_the_built_model_trains_what_is_counted():
    shown = run("count-params", "--method", "shift", "--backbone", "random/tiny", "--verify")
    assert "verified: 1 built models train exactly these numbers" in shown.stdout


@pytest.mark.parametrize("execution", ["lean", "fused", "reference"])
def test_it_is_carried_out(tiny_backbone, token_batch, execution):
    backbone, inputs = tiny_backbone(), token_batch()
    plain = T5Model(backbone, execution=execution)(inputs)
    model = T5Model(backbone, Shift(blocks=2), execution=execution)
    assert model.trained == tuple(f"decoder.{n}.feed_forward.output.bias" for n in range(2))
    assert model(inputs).equal(plain)
    for tensor in model.trained_tensors().values():
        tensor.data.fill_(0.5)
    assert not model(inputs).allclose(plain, atol=1e-2)


def test_it_is_trained_to_a_result_without_a_score_of_the_paper(recipe, tmp_path):
    directory = tmp_path / "run"
    trained = run("train", "--recipe", recipe, "--set", "method.blocks=2", "--output", directory)
    said = f"{trained.stderr} {trained.stdout}"
    assert "Output Shift on demo/smoke" in said
    assert f"adds     the last block's {K}, earlier shifts {K}\n" in said
    assert f"trains   {2 * K} parameters" in said
    assert ", rate 0.02 (the method's);" in said
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert result["method"] == "shift"
    assert result["paper"] is None
    assert result["trained_parameters"] == 2 * K
    scored = json.loads(run("evaluate", "--run", directory, "--json").stdout)
    assert scored["metrics"] == result["test"]["metrics"]
    assert scored["paper"] is None
    run("predict", "--run", directory, "--text", "sentence: zinc")


def test_a_task_of_the_paper_has_no_score_of_it():
    assert paper_scores(TASKS["glue/rte"], "shift") is None


def test_a_recipe_of_it_is_valid(recipe):
    found = json.loads(run("validate", "--recipe", recipe, "--json").stdout)
    assert found["method"] == {"name": "shift", "train_output_layer": False, "blocks": 1}
    assert load_recipe(recipe, ["method.blocks=2"]).method == Shift(blocks=2)


def test_its_settings_are_checked(recipe):
    result = CliRunner().invoke(app, ["validate", "--recipe", recipe, "--set", "method.block=2"])
    assert result.exit_code == 2
    assert 'did you mean "blocks"?' in " ".join(result.stderr.split())


def test_it_is_profiled_beside_full_fine_tuning(monkeypatch):
    assert paper_deltas("shift") == {"time": None, "memory": None}
    # In this process: another does not know the method.
    monkeypatch.setattr(comparison, "run_job", carry_out)
    monkeypatch.setattr(comparison, "run_probe", carry_out)
    methods = ("--method", "full", "--method", "shift", "--backbone", "random/tiny")
    small = ("--batch-size", 2, "--source", 8, "--target", 2, "--steps", 1, "--device", "cpu")
    profile = json.loads(run("profile", *methods, *small, "--json").stdout)
    full, shift = profile["methods"]
    assert shift["trained"] == K
    assert shift["paper_delta_percent"] == {"time": None, "memory": None}
    assert isinstance(shift["delta_percent"]["time"], float)
    assert full["paper_delta_percent"] == {"time": 0.0, "memory": 0.0}
    assert len(profile_tables.rows_of(profile)) == 3


def test_recipes_are_listed_though_none_is_of_it():
    assert "glue/rte_compacterpp" in run("recipes", "list").stdout
    result = CliRunner().invoke(app, ["recipes", "list", "--method", "shift"])
    assert result.exit_code == 2
    assert "no shipped recipe is of such a task and method" in result.stderr


def test_it_counts_on_a_shape_of_its_own():
    shape = T5Shape(64, 32, 48, 3, 4, 8)
    assert Shift(blocks=3, train_output_layer=True).count(shape) == {
        "last": 32, "earlier_shifts": 64, "output_layer": 64 * 32
    }  # fmt: skip
