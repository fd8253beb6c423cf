"""Absorbed cross-attention against keys and values that are built.

B batch, T target, S source, k hidden, H heads, D size of a head
"""

import pytest
import torch

from compacter_cli.t5.absorbing import absorbed
from compacter_cli.t5.fused.cross_attention import mixed
from compacter_cli.t5.parts import Linear
from compacter_cli.t5.tokens import Tokens

HEADS, HEAD, HIDDEN = 2, 3, 7
WIDTH = HEADS * HEAD
ROWS, TARGET, SOURCE = 3, 2, 5


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def inputs(bias):
    """Queries, states, then weight and bias of the key and of the value projection."""
    biases = (drawn(WIDTH), drawn(WIDTH, seed=9)) if bias else (None, None)
    queries, states = drawn(ROWS, TARGET, WIDTH), drawn(ROWS, SOURCE, HIDDEN)
    return queries, states, drawn(HIDDEN, WIDTH), biases[0], drawn(HIDDEN, WIDTH, seed=3), biases[1]


def hidden():
    """A bias that hides the last tokens of the rows: none, two and four."""
    lengths = torch.tensor([SOURCE, SOURCE - 2, SOURCE - 4])
    unseen = torch.arange(SOURCE)[None, :] >= lengths[:, None]
    return torch.zeros(ROWS, 1, 1, SOURCE, dtype=torch.float64).masked_fill(
        unseen[:, None, None], -1e9
    )


def fused(queries, states, key, key_bias, value, value_bias, rate=0.0):
    def mix(taken, constant):
        return mixed(taken, constant, states, hidden()[:, 0], rate)

    tokens = Tokens(torch.ones(ROWS, TARGET).bool(), None)
    both = Linear(key, key_bias), Linear(value, value_bias)
    return absorbed(queries.flatten(0, 1), *both, tokens, HEADS, mix).view(ROWS, TARGET, WIDTH)


def built(queries, states, key, key_bias, value, value_bias):
    """Row by row and head by head, as the definition says."""
    keys = states @ key + (0 if key_bias is None else key_bias)
    values = states @ value + (0 if value_bias is None else value_bias)
    rows = []
    for q, k, v, bias in zip(queries, keys, values, hidden()[:, 0], strict=True):
        parts = zip(q.split(HEAD, 1), k.split(HEAD, 1), v.split(HEAD, 1), strict=True)
        heads = [(a @ b.T + bias).softmax(-1) @ c for a, b, c in parts]
        rows.append(torch.cat(heads, dim=1))
    return torch.stack(rows)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_attention_to_keys_and_values_that_are_built(bias):
    given = inputs(bias)
    tensors = [tensor for tensor in given if tensor is not None]
    found, wanted = fused(*given), built(*given)
    assert found.shape == (ROWS, TARGET, WIDTH)
    torch.testing.assert_close(found, wanted)
    weights = torch.linspace(1, 2, found.numel(), dtype=torch.float64).view_as(found)
    for one, other in zip(
        *(torch.autograd.grad((y * weights).sum(), tensors) for y in (found, wanted)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_dropout_keeps_the_mean():
    given = inputs(bias=True)
    torch.manual_seed(0)
    with torch.no_grad():
        found = torch.stack([fused(*given, rate=0.3) for _ in range(4000)])
        wanted = built(*given)
    error = found.std(0) / 4000**0.5
    assert ((found.mean(0) - wanted).abs() < 5 * error + 1e-12).all()
    assert not torch.equal(found[0], found[1])
