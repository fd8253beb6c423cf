"""KronA: its factors' sizes, counts by hand, and a T5 of weights that its products are added to."""

import numpy as np
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import PRESETS

KronA = METHODS["krona"]
BASE = PRESETS["t5_base_multi"]


def test_its_counts_on_t5_base():
    # 24 is the largest divisor of 768 up to its root: A of 24 x 24, B of 32 x 32
    assert KronA().count(BASE)["deltas"] == 36 * 2 * (24 * 24 + 32 * 32)
    assert KronA(factor=16).count(BASE)["deltas"] == 36 * 2 * (16 * 16 + 48 * 48)
    # of 768 to 3,072: 48 is the largest of 3,072, so A of 24 x 48, B of 32 x 64
    inputs = KronA(projections=["feed_forward.input"]).count(BASE)["deltas"]
    assert inputs == 24 * (24 * 48 + 32 * 64)


def test_it_is_the_backbone_with_kronecker_products_added(tiny_backbone, token_batch):
    inputs = token_batch()
    model = T5Model(tiny_backbone(), KronA(scaling=0.5), seed=3)
    draw, weights = np.random.default_rng(5), model.named_weights
    for name in model.trained:
        if name.endswith(".B"):
            weights[name].assign(0.3 * draw.standard_normal(tuple(weights[name].shape)))
    folded = tiny_backbone()
    for name, variable in backbone_weights(folded).items():
        if f"{name}.delta.A" in weights:
            a, b = (weights[f"{name}.delta.{part}"].numpy() for part in "AB")
            variable.assign(variable.numpy() + 0.5 * np.kron(a, b))
    with torch.no_grad():
        found, wanted = model(inputs), T5Model(folded)(inputs)
    real = inputs["decoder_padding_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-4)


def test_a_factor_must_divide_the_inputs_and_outputs_of_what_is_changed():
    assert KronA(factor=48).problems(BASE) == []
    (problem,) = KronA(factor=36).problems(BASE)
    assert (problem.key, problem.short) == ("method.factor", "768 % 36")
