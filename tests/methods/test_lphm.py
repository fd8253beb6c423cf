"""LPHM on weights: counts by hand, one rule, and what does not divide."""

import numpy as np
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import PRESETS

LPHM = METHODS["lphm"]
BASE = PRESETS["t5_base_multi"]


def test_its_counts_on_t5_base():
    assert LPHM().count(BASE) == {"deltas": 36 * 2 * (768 + 768), "rule": 64}
    assert LPHM(n=12, rank=2).count(BASE) == {"deltas": 2 * 36 * 2 * (768 + 768), "rule": 1728}


def test_it_is_the_backbone_with_kronecker_sums_added(tiny_backbone, token_batch):
    inputs = token_batch()
    model = T5Model(tiny_backbone(), LPHM(n=4, rank=2), seed=3)
    draw = np.random.default_rng(5)
    weights = model.named_weights
    for name in model.trained:
        if name.endswith(".t"):
            weights[name].assign(0.3 * draw.standard_normal(tuple(weights[name].shape)))
    rule, folded = weights["rule.A"].numpy(), tiny_backbone()
    for name, variable in backbone_weights(folded).items():
        if f"{name}.delta.s" in weights:
            s, t = (weights[f"{name}.delta.{part}"].numpy() for part in "st")
            variable.assign(variable.numpy() + sum(np.kron(rule[i], s[i] @ t[i]) for i in range(4)))
    with torch.no_grad():
        found, wanted = model(inputs), T5Model(folded)(inputs)
    real = inputs["decoder_padding_mask"].bool()
    torch.testing.assert_close(found[real], wanted[real], rtol=1e-4, atol=1e-4)


def test_n_must_divide_the_inputs_and_outputs_of_what_is_changed():
    assert LPHM(n=12).problems(BASE) == []
    (problem,) = LPHM(n=5).problems(BASE)
    assert problem.key == "method.n"
    assert "768 % 5 = 3" in problem.message
    assert "12, 16" in problem.hint
    both = LPHM(n=512, projections=["feed_forward.input"]).problems(BASE)
    assert [p.short for p in both] == ["768 % 512"]
