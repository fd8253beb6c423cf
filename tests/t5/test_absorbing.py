"""Cross-attention through the states, changed projections and all, against keys and values built.

N target tokens, B rows of T targets and S states, k hidden, H heads, D size of a head
"""

from functools import partial

import pytest
import torch

from compacter_cli.t5.absorbing import absorbed, absorbing_is_cheaper
from compacter_cli.t5.fused.cross_attention import mixed
from compacter_cli.t5.lean.cross_attention import Mixed
from compacter_cli.t5.lean.pairs import Pairs
from compacter_cli.t5.parts import Kronecker, Linear, Thin
from compacter_cli.t5.tokens import Tokens

ROWS, TARGET, SOURCE, HIDDEN, HEADS, HEAD = 3, 2, 5, 8, 2, 3
WIDTH = HEADS * HEAD
MASK = torch.tensor([[True, True], [True, False], [True, True]])


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(sum(shape) + 100 * seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def changes(kind, seed):
    """What a method makes of a projection (k, H D), by the name of the `Linear`'s field."""
    if kind == "thin":
        return {"delta": Thin(drawn(HIDDEN, 2, seed=seed), drawn(2, WIDTH, seed=seed))}
    if kind == "kronecker":  # columns of the left factor belong to more than one head
        return {"delta": Kronecker(drawn(2, 1, seed=seed), drawn(4, WIDTH, seed=seed))}
    if kind == "kronecker across heads":
        return {"delta": Kronecker(drawn(4, 3, seed=seed), drawn(2, 2, seed=seed))}
    if kind in ("scale", "bias"):
        return {kind: drawn(WIDTH, seed=seed)}
    return {
        field: x for each in ("thin", "scale", "bias") for field, x in changes(each, seed).items()
    }


KINDS = ("thin", "kronecker", "kronecker across heads", "scale", "bias", "all")


def tensors_of(linear):
    delta = list(linear.delta) if linear.delta else []
    return [x for x in (linear.weight, linear.bias, linear.scale, *delta) if x is not None]


def lean(taken, constant, states):
    source = Tokens.of(torch.ones(ROWS, SOURCE).bool())
    pairs = Pairs(Tokens.of(MASK), source, HEADS)
    return Mixed.apply(taken, constant, states, None, 1.0, pairs)


def fused(taken, constant, states):
    return mixed(taken, constant, states, torch.zeros(ROWS, 1, SOURCE), 0.0)


def found(queries, states, key, value, kernel):
    mix = partial(kernel, states=states)
    return absorbed(queries, key, value, Tokens.of(MASK), HEADS, mix)


every_kernel = pytest.mark.parametrize("kernel", [lean, fused])


def dense(linear, x):
    """A projection as a full matrix, (..., k) to (..., H D)."""
    weight = linear.weight if linear.delta is None else linear.weight + linear.delta.dense()
    y = x @ weight + (0 if linear.bias is None else linear.bias)
    return y if linear.scale is None else y * linear.scale


def built(queries, states, keys, values):
    """Row by row and head by head, each row by projections of its own."""
    places = [row for row, target in MASK.nonzero().tolist()]
    contexts = []
    for query, row in zip(queries, places, strict=True):
        key, value = dense(keys[row], states[row]), dense(values[row], states[row])
        parts = zip(query.split(HEAD), key.split(HEAD, 1), value.split(HEAD, 1), strict=True)
        contexts.append(torch.cat([(k @ q).softmax(0) @ v for q, k, v in parts]))
    return torch.stack(contexts)


def inputs():
    """Flat queries (N, H D) and states (B, S, k)."""
    return drawn(int(MASK.sum()), WIDTH), drawn(ROWS, SOURCE, HIDDEN)


@every_kernel
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["key", "value", "both"])
def test_a_changed_projection_gives_what_its_dense_one_does(kind, role, kernel):
    queries, states = inputs()
    key, value = (
        Linear(drawn(HIDDEN, WIDTH, seed=seed), **(changes(kind, seed) if role != other else {}))
        for seed, other in ((1, "value"), (2, "key"))
    )
    given = [queries, states, *tensors_of(key), *tensors_of(value)]
    ours = found(queries, states, key, value, kernel)
    wanted = built(queries, states, [key] * ROWS, [value] * ROWS)
    torch.testing.assert_close(ours, wanted)
    weights = torch.linspace(1, 2, ours.numel(), dtype=torch.float64).view_as(ours)
    gradients = [
        torch.autograd.grad((y * weights).sum(), given, allow_unused=True) for y in (ours, wanted)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@every_kernel
@pytest.mark.parametrize("kinds", [("thin", "bias"), ("kronecker", "all"), ("scale", "scale")])
def test_rows_of_one_batch_have_projections_of_their_own(kinds, kernel):
    """The first row and the last are changed, each by an adapter; the one between is not."""
    queries, states = inputs()
    weights = drawn(HIDDEN, WIDTH, seed=1), drawn(HIDDEN, WIDTH, seed=2)
    each = [
        [Linear(w, **changes(kind, seed)) for seed, kind in enumerate(kinds, 3)] for w in weights
    ]
    segments = [((0, TARGET, one), (2 * TARGET, 3 * TARGET, last)) for one, last in each]
    with torch.no_grad():
        mixed_ones = [Linear(w, segments=own) for w, own in zip(weights, segments, strict=True)]
        plain = [[one, Linear(w), last] for w, (one, last) in zip(weights, each, strict=True)]
        torch.testing.assert_close(
            found(queries, states, *mixed_ones, kernel), built(queries, states, *plain)
        )


def test_absorbing_pays_below_the_point_where_both_cost_the_same():
    # 128 * 64 / (128 + 64) = 42.7
    assert absorbing_is_cheaper(42, 128, 64)
    assert not absorbing_is_cheaper(43, 128, 64)


def test_where_both_cost_the_same_keys_and_values_are_built():
    assert absorbing_is_cheaper(5, 12, 12)
    assert not absorbing_is_cheaper(6, 12, 12)
    assert not absorbing_is_cheaper(1, 1, 1)  # one query, one state
