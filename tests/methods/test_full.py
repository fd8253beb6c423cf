"""`full`: every weight of the backbone trains, nothing is added."""

import pytest

from compacter_cli.errors import RecipeError
from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.shapes import shape_of

FULL = METHODS["full"]()


def test_parameters_on_t5_base():
    assert FULL.count(shape_of("t5_base_multi")) == {"backbone": 222_903_552}


def test_the_paper_has_no_formula_for_it():
    assert FULL.closed_form(shape_of("t5_base_multi")) is None


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_it_trains_every_weight_and_the_count_says_so(tiny_backbone, kind):
    backbone = tiny_backbone(kind, num_layers=1)
    model = T5Model(backbone, FULL)
    assert list(model.trained) == list(backbone_weights(backbone))
    trained = sum(tensor.numel() for tensor in model.trained_tensors().values())
    assert trained == sum(FULL.count(shape_of_backbone(backbone)).values())
    assert trained == backbone.count_params()


def test_settings_of_the_paper():
    assert FULL.learning_rate == 3e-4
    assert FULL.prefixes_task
    assert FULL.trains_in_place
    assert FULL.settings() == {"name": "full"}


def test_it_has_no_hyperparameters():
    with pytest.raises(RecipeError):
        METHODS["full"](bottleneck=24)


def test_it_fits_every_backbone_and_adds_nothing():
    shape = shape_of("t5_small_multi")
    assert FULL.problems(shape) == []
    assert FULL.build(shape, seed=0) == {}
