"""Prompt tuning from token embeddings: a copy, never the embedding itself."""

import numpy as np

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.shapes import PRESETS


def test_it_starts_as_a_copy_of_the_first_rows(tiny_backbone):
    backbone = tiny_backbone()
    model = T5Model(backbone, METHODS["prompt_t"](length=5))
    prompt, embedding = model.named_weights["prompt.prompt"], model.named_weights["embedding"]
    before = embedding.numpy().copy()
    assert np.array_equal(prompt.numpy(), before[:5])
    prompt.assign(np.zeros((5, 32)))
    assert np.array_equal(embedding.numpy(), before)
    assert prompt.value.data_ptr() != embedding.value.data_ptr()


def test_it_needs_as_many_rows_as_prompts():
    shape = PRESETS["t5_small_multi"]
    assert METHODS["prompt_t"](length=32_128).problems(shape) == []
    (problem,) = METHODS["prompt_t"](length=32_129).problems(shape)
    assert problem.key == "method.length"
    assert "prompt_r" in problem.hint
