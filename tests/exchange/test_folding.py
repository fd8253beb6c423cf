"""A run as a plain T5: read by KerasHub and by us, it computes what the run's model computes."""

import weakref

import pytest
import torch

from compacter_cli.errors import CompacterError
from compacter_cli.exchange.folding import write_folded
from compacter_cli.exchange.keras_hub import write
from compacter_cli.exchange.trained import Trained
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.t5.loading import Backbone, load_backbone
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.shapes import shape_of


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def trained(tiny_backbone):
    """Makes a `Trained` of a method, whose weights are away from where they start."""

    def make(kind="v1_0", shift=0.1, **method):
        tables = {"task": "demo/smoke", "backbone": {"preset": "random/tiny"}, "method": method}
        recipe = recipe_of(tables, "here")
        backbone = tiny_backbone(kind, vocabulary_size=len(tiny_vocabulary()), num_layers=1)
        model = T5Model(backbone, recipe.method)
        generator = torch.Generator().manual_seed(1)
        model.assign(
            {
                name: tensor.detach() + shift * torch.randn(tensor.shape, generator=generator)
                for name, tensor in model.trained_tensors().items()
            }
        )
        loaded = Backbone("random/tiny", backbone, tiny_vocabulary(), "0" * 64)
        return Trained(model, loaded, recipe)

    return make


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # KerasHub's file
def test_keras_hub_computes_the_runs_logits_with_it(trained, tmp_path, token_batch, kind):
    import keras_hub

    given = trained(kind, name="lora", train_output_layer=True)
    inputs = token_batch(vocabulary=len(tiny_vocabulary()))
    with torch.no_grad():
        expected = given.model.call(inputs)
    written = write_folded(lambda: given, tmp_path / "p", write)
    assert shape_of(str(tmp_path / "p")).tied is False
    assert written["folded"]["untied"] == (kind == "v1_0")
    lm = keras_hub.models.T5Seq2SeqLM.from_preset(str(tmp_path / "p"))
    with torch.no_grad():
        found = lm(inputs)
    real = inputs["decoder_padding_mask"].bool()
    scale = float(expected[real].abs().max())
    torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-4 * scale)
    assert shape_of_backbone(lm.backbone) == shape_of(str(tmp_path / "p"))


def test_what_was_folded_and_how_near_it_is_are_told(trained, tmp_path):
    given = trained(name="ia3")
    written = write_folded(lambda: given, tmp_path / "p", write)
    loaded = load_backbone(str(tmp_path / "p"))
    assert loaded.vocabulary.sha256 == tiny_vocabulary().sha256
    # Key and value of three attentions, 32 x 32, and the output of two feed-forwards, 48 x 32.
    assert written["folded"] == {
        "tensors": 8,
        "of_tensors": shape_of_backbone(loaded.keras).weight_tensors,
        "parameters": 6 * 32 * 32 + 2 * 48 * 32,
        "of_parameters": shape_of_backbone(loaded.keras).parameters(),
        "untied": False,
    }
    compared = written["compared"]
    assert 0 < compared["largest_difference"] < 1e-4 * compared["largest_logit"]
    assert (compared["examples"], compared["on"], compared["why"]) == (64, "validation", None)


def test_a_difference_would_be_seen(trained, tmp_path):
    def other(plain, directory):
        variable = next(iter(backbone_weights(plain.backbone).values()))
        variable.assign(variable.value.flip(0))
        write(plain, directory)

    compared = write_folded(lambda: trained(name="ia3"), tmp_path / "p", other)["compared"]
    assert compared["largest_difference"] > 0.01 * compared["largest_logit"]


def test_one_backbone_is_there_at_a_time(trained, tmp_path, monkeypatch):
    there = []

    def read():
        made = trained(name="lora")
        there.append(weakref.ref(made.model.backbone))
        return made

    def load(preset):
        assert there[0]() is None
        return load_backbone(preset)

    monkeypatch.setattr("compacter_cli.t5.loading.load_backbone", load)
    write_folded(read, tmp_path / "p", write)
    assert there


def test_weights_that_are_not_finite_are_refused(trained, tmp_path):
    with pytest.raises(CompacterError, match="holds NaN or infinity"):
        write_folded(lambda: trained(name="ia3", shift=3e38), tmp_path / "p", write)
