"""Rows of one batch under different adapters, against each adapter alone."""

import numpy as np
import pytest
import torch

from compacter_cli.methods import METHODS
from compacter_cli.t5.cache import StatesCache
from compacter_cli.t5.kernels import Kernels
from compacter_cli.t5.mixing import Mixture, mixed
from compacter_cli.t5.model import EXECUTIONS, T5Model
from compacter_cli.t5.parts import Parts

SMALL = {"bottleneck": 8, "length": 4, "intrinsic_dim": 300}
EVERY = [name for name in METHODS if name not in ("full", "said")]
ROWS = [2, 1, 3]
every_execution = pytest.mark.parametrize(
    "execution",
    [e if e == "lean" else pytest.param(e, marks=pytest.mark.slow) for e in EXECUTIONS],
)
_MADE = {}


@pytest.fixture
def models(tiny_backbone):
    """Makes models of methods on one backbone, of weights that matter."""

    def make(*names, execution="lean", kind="v1_0"):
        backbone = _MADE.setdefault(kind, tiny_backbone(kind))
        return [_model(backbone, name, seed, execution) for seed, name in enumerate(names)]

    return make


def _model(backbone, name, seed, execution):
    name, _, more = name.partition("+")
    fields = METHODS[name].model_fields
    settings = {key: size for key, size in SMALL.items() if key in fields}
    if name == "prompt_t":
        settings["length"] = 7
    if name == "adapterdrop":
        settings["dropped_blocks"] = 1
    if more:
        settings[more] = True
    model = T5Model(backbone, METHODS[name](**settings), seed=seed, execution=execution)
    draw = np.random.default_rng(seed)
    model.assign(
        {
            key: tensor.detach().numpy() + 0.1 * draw.standard_normal(tuple(tensor.shape))
            for key, tensor in model.trained_tensors().items()
        }
    )
    return model


def sources(rows, longest=13):
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(2, 64, (rows, longest), generator=generator)
    lengths = torch.randint(3, longest + 1, (rows,), generator=generator)
    mask = torch.arange(longest) < lengths[:, None]
    return ids * mask, mask


def targets(rows):
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(2, 64, (rows, 4), generator=generator)
    mask = torch.arange(4) < torch.randint(1, 5, (rows,), generator=generator)[:, None]
    return ids * mask, mask


def logits_of(forward, source, target):
    """Of real target tokens, (N, V)."""
    hidden = forward.decode(*target, *forward.encode(*source))
    return forward.logits(hidden)[target[1]]


def compare(made, rows, share=1e-5):
    source, target = sources(sum(rows)), targets(sum(rows))
    with torch.no_grad():
        forwards = [model.forward_pass() for model in made]
        found = logits_of(mixed(forwards, rows), source, target)
        pieces = zip(
            forwards,
            *(part.split(rows) for part in (*source, *target)),
            strict=True,
        )
        alone = torch.cat([logits_of(f, (ids, m), (t, n)) for f, ids, m, t, n in pieces])
    assert (found - alone).abs().max() <= share * alone.abs().max()
    return found, forwards, source


@every_execution
@pytest.mark.parametrize("name", EVERY)
def test_two_of_a_method_beside_another(models, name, execution):
    made = models(name, "compacter" if name != "compacter" else "lora", name, execution=execution)
    compare(made, ROWS)


@every_execution
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_every_method_that_can_be_mixed_at_once(models, execution, kind):
    made = models(*EVERY, execution=execution, kind=kind)
    rows = [1 + number % 3 for number in range(len(made))]
    found, forwards, source = compare(made, rows)
    plain = logits_of(models("prompt_r")[0].forward_pass(), source, targets(sum(rows)))
    assert not torch.allclose(found, plain, atol=1e-2)
    assert len(forwards) == len(EVERY)


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_heads_of_their_own(models, kind):
    made = models("lora+train_output_layer", "compacter", "bitfit+train_output_layer", kind=kind)
    compare(made, ROWS)


@every_execution
def test_answers_are_those_of_each_alone(models, execution):
    made, rows = models("lora", "bitfit", "compacterpp", "prompt_r", execution=execution), [3] * 4
    ids, mask = sources(12)
    for steps in (2, 9):  # decoded over states, and over keys and values
        forwards = [model.forward_pass() for model in made]
        found = made[0].greedy(ids, mask, steps, mixed(forwards, rows))
        for number, model in enumerate(made):
            own = slice(3 * number, 3 * number + 3)
            alone = model.greedy(ids[own], mask[own], steps)
            assert torch.equal(found[own, : alone.shape[1]], alone)
            assert not found[own, alone.shape[1] :].any()


@pytest.mark.parametrize("other", ["adapter", "lora", "ia3", "bitfit"])
def test_short_answers_are_decoded_over_states_whatever_is_changed(models, other):
    source, mask = torch.zeros(6, 40, 32), torch.ones(6, 40, dtype=torch.bool)
    forwards = [model.forward_pass() for model in models("compacter", other, "pfeiffer")]
    assert isinstance(mixed(forwards, ROWS).start_cache(source, mask, 2), StatesCache)


def test_the_backbones_products_are_taken_once(models, monkeypatch):
    products, product = [], Kernels.product
    made = models("lora", "compacter", "bitfit", execution="reference")
    monkeypatch.setattr(
        Kernels, "product", lambda *given: products.append(len(given[1])) or product(*given)
    )
    forwards = [model.forward_pass() for model in made]
    with torch.no_grad():
        mixed(forwards, ROWS).encode(*sources(6))
    assert products == [6 * 13] * (2 * 6)  # two blocks of six projections, over all rows


def test_one_alone_is_itself(models):
    (model,) = models("lora")
    forward = model.forward_pass()
    assert mixed([forward], [3]) is forward


@pytest.mark.parametrize(
    ("name", "why"),
    [("full", "trains the backbone's own weights"), ("said", "makes all of the backbone's")],
)
def test_what_has_weights_of_its_own_cannot_be_mixed(models, name, why):
    (model,) = models(name)
    assert why in model.unmixable
    assert all(other.unmixable is None for other in models(*EVERY))


def test_a_mixture_finds_once_what_is_the_same_in_every_pass(models, monkeypatch):
    made = models("compacter", "lora", "prompt_r", "bitfit")
    forwards = [model.forward_pass() for model in made]
    mixture, looked = Mixture(forwards), []
    real = Parts.norm
    monkeypatch.setattr(Parts, "norm", lambda *given: looked.append(given) or real(*given))
    ids, mask = sources(5)
    with torch.no_grad():
        mixture.over([1, 2, 1, 1]).encode(ids, mask)
        once = len(looked)
        states, real_tokens = mixture.over([3, 0, 0, 2]).encode(ids, mask)
    assert len(looked) == once  # and the one that is not asked, with its prompt, is not there
    assert real_tokens.shape == mask.shape
    alone, _ = forwards[3].encode(ids[3:], mask[3:])
    torch.testing.assert_close(states[3:][mask[3:]], alone[mask[3:, : alone.shape[1]]])
    assert mixture.over([0, 0, 5, 0]) is forwards[2]


def test_a_row_or_many_of_an_adapter_are_the_same(models):
    """In one product, a kernel a row, and adapter by adapter."""
    made = models("compacter", "compacter", "compacter")
    compare(made, [1, 2, 1])
    compare(made, [9, 4, 2])
