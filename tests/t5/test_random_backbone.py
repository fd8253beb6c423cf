import random

import numpy as np
import pytest
import torch

from compacter_cli.t5.loading import fingerprint_of
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.random_backbone import tiny_backbone, tiny_vocabulary
from compacter_cli.t5.shapes import RANDOM_TINY_SHAPE
from compacter_cli.t5.vocabulary import UNKNOWN
from compacter_cli.tasks.smoke import SMOKE


@pytest.fixture(scope="module")
def backbone(keras):
    with keras.device("cpu"):
        return tiny_backbone()


def test_the_backbone_has_the_shape_that_is_counted_with(backbone):
    assert shape_of_backbone(backbone) == RANDOM_TINY_SHAPE
    assert sum(w.value.numel() for w in backbone_weights(backbone).values()) == 173_056
    assert RANDOM_TINY_SHAPE.parameters() == 173_056


def test_the_backbone_does_not_depend_on_the_random_state_of_its_caller(backbone):
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    again = fingerprint_of(backbone_weights(tiny_backbone()))
    assert again == fingerprint_of(backbone_weights(backbone))


def test_the_vocabulary_is_made_the_same_every_time():
    first = tiny_vocabulary()
    assert tiny_vocabulary() is first
    tiny_vocabulary.cache_clear()
    assert tiny_vocabulary() is not first
    assert tiny_vocabulary().sha256 == first.sha256


def test_the_random_state_of_the_caller_is_left_as_it_was(keras):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed():
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)

    seed()
    expected = draw()
    seed()
    tiny_backbone()
    assert draw() == expected


def test_projections_are_scaled_by_their_inputs_and_norms_are_one(backbone):
    for name, variable in backbone_weights(backbone).items():
        value = variable.value
        if name.endswith("layer_norm"):
            assert torch.equal(value, torch.ones_like(value)), name
        else:
            fan_in = 1 if name == "embedding" or "relative" in name else value.shape[0]
            assert value.std().item() == pytest.approx(fan_in**-0.5, rel=0.25), name


def test_the_vocabulary_fits_the_embedding_and_knows_every_word_of_the_task():
    vocabulary = tiny_vocabulary()
    assert len(vocabulary) <= RANDOM_TINY_SHAPE.vocabulary_size
    texts = [SMOKE.source(row) for rows in SMOKE.generate().values() for row in rows]
    texts += [f"{SMOKE.prefix} {text}" for text in texts[:5]] + list(SMOKE.targets)
    for text, ids in zip(texts, vocabulary.encode(texts), strict=True):
        assert UNKNOWN not in ids
        assert vocabulary.decode(ids) == text


def test_the_targets_are_one_token_each_and_differ():
    assert tiny_vocabulary().longest(SMOKE.targets)[1] <= 3
    zero, one = tiny_vocabulary().encode(SMOKE.targets)
    assert zero != one
