"""Prompt tuning from random vectors, against prompts written into the embedding."""

import numpy as np
import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.shapes import PRESETS


@pytest.mark.parametrize("name", ["prompt_r", "prompt_t"])
def test_its_counts_on_t5_base(name):
    assert sum(METHODS[name]().count(PRESETS["t5_base_multi"]).values()) == 76_800


def test_it_starts_between_minus_a_half_and_a_half(tiny_backbone):
    model = T5Model(tiny_backbone(), METHODS["prompt_r"](length=50))
    values = model.named_weights["prompt.prompt"].numpy()
    assert values.shape == (50, 32)
    assert -0.5 <= values.min() < -0.48
    assert 0.48 < values.max() <= 0.5


@pytest.mark.parametrize("name", ["prompt_r", "prompt_t"])
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_it_is_extra_tokens_before_the_source(tiny_backbone, token_batch, name, kind):
    """The oracle: a plain T5 whose embedding holds the prompt as rows of its own."""
    length, inputs = 3, token_batch()
    model = T5Model(tiny_backbone(kind), METHODS[name](length=length))
    prompt = np.random.default_rng(0).normal(size=(length, 32))
    model.named_weights["prompt.prompt"].assign(prompt)
    wide = tiny_backbone(kind, vocabulary_size=64 + length)
    plain = T5Model(wide, None)
    for weight, variable in T5Model(tiny_backbone(kind)).named_weights.items():
        values = variable.numpy()
        if weight == "embedding":
            values = np.concatenate([values, prompt])
        if weight == "head":
            values = np.concatenate([values, np.zeros((32, length))], axis=1)
        plain.named_weights[weight].assign(values)
    rows = len(inputs["encoder_token_ids"])
    extra = torch.arange(64, 64 + length).expand(rows, length)
    longer = {
        **inputs,
        "encoder_token_ids": torch.cat((extra, inputs["encoder_token_ids"]), 1),
        "encoder_padding_mask": torch.cat(
            (torch.ones(rows, length, dtype=torch.int32), inputs["encoder_padding_mask"]), 1
        ),
    }
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), plain(longer)[..., :64], rtol=1e-5, atol=1e-5)
