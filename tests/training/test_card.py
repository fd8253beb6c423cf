import math

import pytest

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.adapters.restoring import recipe_of_manifest
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.training.card import card_of, write_card
from compacter_cli.training.display import Display
from compacter_cli.training.run import train
from compacter_cli.training.run_directory import read_result

TRAINED_ON = {"preset": "t5_base_multi", "fingerprint": "f" * 64,
              "vocabulary_sha256": "a" * 64, "parameters": 222_903_552}  # fmt: skip


def scores(**changes):
    found = {"accuracy": 70.123456}
    return {"metrics": found, "majority": {"accuracy": 52.5}, "count": 139, "mean": 70.1, **changes}


RESULT = {
    "trained_parameters": 104_704, "trained_percent": 0.04697, "epochs": 20, "best_epoch": 12,
    "updates": 500, "train_examples": 2490, "validation": scores(count=138), "test": scores(),
    "data": {"way": "folder", "path": "/home/me/glue", "sha256": {"train.tsv": "b" * 64}},
}  # fmt: skip


@pytest.fixture
def recipe():
    tables = {"task": "glue/rte", "method": {"name": "compacterpp"}, "seed": 7}
    return recipe_of({**tables, "backbone": {"preset": "t5_base_multi"}}, "test").resolved()


@pytest.fixture
def own_recipe():
    data = {"train": "a.csv", "source": "`it` says|\n{text}", "target": "{label}"}
    tables = {"task": "csv", "method": {"name": "full"}, "data": data}
    return recipe_of({**tables, "backbone": {"preset": "demo/t5"}}, "test").resolved()


def header(card):
    opened, text, *_ = card.split("---\n")
    assert opened == ""
    return text


def test_the_metadata_is_what_model_hubs_read(recipe):
    assert (
        header(card_of(recipe, RESULT, TRAINED_ON))
        == """\
license: "unknown"
library_name: "compacter"
pipeline_tag: "text-classification"
tags:
  - "t5"
  - "adapter"
  - "parameter-efficient-fine-tuning"
  - "compacterpp"
base_model: "google-t5/t5-base"
datasets:
  - "nyu-mll/glue"
metrics:
  - "accuracy"
model-index:
  - name: "compacterpp on glue/rte"
    results:
      - task:
          type: "text-classification"
        dataset:
          name: "glue/rte"
          type: "nyu-mll/glue"
          config: "rte"
        metrics:
          - type: "accuracy"
            name: "accuracy (test)"
            value: 70.12
"""
    )


def test_the_text_tells_what_the_run_was_and_nothing_of_the_machine(recipe):
    card = card_of(recipe, RESULT, TRAINED_ON)
    for part in (
        "# Compacter++ on glue/rte", "104,704 parameters, 0.047 % of its backbone's",
        "It reads `sentence1: ... sentence2: ...` and answers with `entailment`, `not_entailment`.",
        "2,490 training examples, 138 that chose the best epoch, 139 that it is tested on",
        "validation set halved", f"- `train.tsv`: sha256 `{'b' * 64}`",
        "500 updates of 100 examples in 20 epochs", "a peak rate of 0.003; the best epoch is 12",
        "| n | `4` |", "| accuracy | 70.12 | 70.12 | 52.50 |", "with seed 7",
        "`google-t5/t5-base`, 222,903,552 parameters", f"`{'f' * 64}`", f"`{'a' * 64}`",
        "compacter predict --run run", "Predictor(load_backbone(", "compacter serve --adapter",
        "## Licence\n\nTo be filled in",
    ):  # fmt: skip
        assert part in card
    assert "/home/me" not in card


def test_texts_of_ones_own_end_no_code_and_free_text_has_no_labels(own_recipe):
    result = {**RESULT, "data": {"way": "own files"}}
    card = card_of(own_recipe, result, {**TRAINED_ON, "preset": "demo/t5"})
    assert "It reads `'it' says/\\n{text}` and answers with a text of its own." in card
    assert "--text ''\"'\"'it'\"'\"' says|\\n{text}'" in card
    assert card.count("```") == 6
    assert 'pipeline_tag: "text2text-generation"' in header(card)
    assert "datasets:" not in header(card)
    assert "base_model:" not in header(card)
    assert "`compacter-demo-t5`" in card


@pytest.mark.peers
@pytest.mark.parametrize("own", [False, True], ids=["a published backbone", "one's own"])
def test_the_hubs_own_library_reads_the_metadata(recipe, own_recipe, own):
    hub = pytest.importorskip("huggingface_hub", reason='needs pip install "compacter[peers]"')
    given = own_recipe if own else recipe
    found = hub.ModelCard(card_of(given, RESULT, TRAINED_ON)).data
    assert (found.library_name, found.license) == ("compacter", "unknown")
    assert found.base_model == (None if own else "google-t5/t5-base")
    (result,) = found.eval_results
    assert (result.dataset_type, result.dataset_config) == (
        ("csv", None) if own else ("nyu-mll/glue", "rte")
    )
    assert (result.metric_type, result.metric_value) == ("accuracy", 70.12)
    assert hub.ModelCard(str(hub.ModelCard(card_of(given, RESULT, TRAINED_ON)))).data == found


def test_a_folder_of_a_published_name_is_not_said_to_be_that(recipe):
    backbone = recipe.backbone.model_copy(update={"preset": "/home/me/t5_base_multi"})
    recipe = recipe.model_copy(update={"backbone": backbone})
    card = card_of(recipe, RESULT, {**TRAINED_ON, "preset": "/home/me/t5_base_multi"})
    assert "google-t5" not in card
    assert "/home/me" not in card


def test_the_metadata_holds_no_number_that_is_none(recipe):
    card = card_of(recipe, {**RESULT, "test": scores(metrics={"accuracy": math.nan})}, TRAINED_ON)
    assert "NaN" not in header(card)


def test_a_card_is_written_again_unless_it_was_edited(tmp_path, recipe):
    card = card_of(recipe, RESULT, TRAINED_ON)
    other = card_of(recipe, {**RESULT, "epochs": 3}, TRAINED_ON)
    path = tmp_path / "README.md"
    (tmp_path / "README.md.new-1").write_text("of a process that was killed")
    assert write_card(tmp_path, other)
    assert write_card(tmp_path, card)
    assert path.read_text(encoding="utf-8") == card
    for edited in (card.replace("unknown", "mit"), card + "More.\n", "mine", ""):
        path.write_text(edited, encoding="utf-8")
        assert not write_card(tmp_path, card)
        assert path.read_text(encoding="utf-8") == edited
    assert [entry.name for entry in tmp_path.iterdir()] == ["README.md"]


def test_a_run_leaves_a_card_beside_its_best_adapter_alone(smoke_run):
    card = (smoke_run / "best" / "README.md").read_text(encoding="utf-8")
    recipe = recipe_of_manifest(read_manifest(smoke_run / "best"), smoke_run / "best")
    result = read_result(smoke_run)
    assert f"| accuracy | {result['validation']['metrics']['accuracy']:.2f} |" in card
    assert card == card_of(recipe.resolved(), result, read_manifest(smoke_run / "best")["backbone"])
    assert not (smoke_run / "last" / "README.md").exists()
    assert load_adapter(smoke_run / "best").tensors


class Told(Display):
    """Keeps the lines that it is told; puts a card of one's own beside each epoch's best."""

    def __init__(self, card=None):
        self.lines, self._card = [], card

    def line(self, text):
        self.lines.append(text)

    def epoch(self, epoch):
        if self._card:
            self._card.write_text("mine")


@pytest.fixture
def trained(smoke_run, tmp_path):
    """Trains the smoke run's recipe again; gives what was told."""

    def trained(directory, own_card=False):
        told = Told(directory / "best" / "README.md" if own_card else None)
        recipe = recipe_of(read_manifest(smoke_run / "best")["recipe"], "test")
        train(recipe=recipe, directory=directory, device="cpu", display=told)
        return told.lines

    return trained


def test_a_card_of_ones_own_outlives_better_epochs_and_the_end(trained, tmp_path):
    told = trained(tmp_path / "run", own_card=True)
    assert (tmp_path / "run" / "best" / "README.md").read_text() == "mine"
    assert "best/README.md was edited, and is left as it is" in told


def test_no_run_ends_for_its_card(trained, tmp_path, monkeypatch):
    def full(path, _text):
        raise CompacterError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("compacter_cli.training.card.write_text", full)
    (said,) = [line for line in trained(tmp_path / "run") if "README" in line]
    assert said.endswith("No space left on device; the run ends without a model card")
    assert read_result(tmp_path / "run")


def test_a_card_that_cannot_be_made_costs_no_result(trained, tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("majority")

    monkeypatch.setattr("compacter_cli.training.card.card_of", broken)
    assert "'majority'; the run ends without a model card" in trained(tmp_path / "run")
    assert read_result(tmp_path / "run")
    assert (tmp_path / "run" / "predictions.jsonl").exists()
