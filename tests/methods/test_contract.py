"""What every method promises: its exact names, and training that touches nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from compacter_cli.methods import METHODS
from compacter_cli.section import seed_of
from compacter_cli.t5.batch import collate
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import T5Shape
from compacter_cli.t5.variables import named_variables

every_method = pytest.mark.parametrize("name", METHODS)
SHAPE = T5Shape(64, 32, 48, 1, 4, 8)
NORMS = {
    "encoder.0.self_attention.layer_norm",
    "encoder.0.feed_forward.layer_norm",
    "encoder.layer_norm",
    "decoder.0.self_attention.layer_norm",
    "decoder.0.cross_attention.layer_norm",
    "decoder.0.feed_forward.layer_norm",
    "decoder.layer_norm",
}
LAST_NORMS = {"encoder.layer_norm", "decoder.layer_norm"}
PROJECTIONS = ("self_attention", "query key value output"), ("feed_forward", "input output")
BACKBONE = {
    "embedding",
    "encoder.0.self_attention.relative_bias",
    "decoder.0.self_attention.relative_bias",
    *(f"decoder.0.cross_attention.{part}" for part in ("query", "key", "value", "output")),
    *(
        f"{stack}.0.{sublayer}.{part}"
        for stack in ("encoder", "decoder")
        for sublayer, parts in PROJECTIONS
        for part in parts.split()
    ),
}


def added(sublayers, parts):
    return {
        f"{stack}.0.{sublayer}.adapter.{side}.{part}"
        for stack in ("encoder", "decoder")
        for sublayer in sublayers
        for side in ("down", "up")
        for part in parts
    }


def changed_projections(roles, parts):
    attentions = [name for name in BACKBONE if name.endswith(".query")]
    return {
        f"{name.removesuffix('.query')}.{role}.{part}"
        for name in attentions
        for role in roles
        for part in parts
    }


LINEAR = {
    *(name for name in BACKBONE if "relative_bias" not in name and name != "embedding"),
    "head",
}
BOTH = ("self_attention", "feed_forward")
TRAINED = {  # of one block a stack
    "full": NORMS | BACKBONE,
    "adapter": NORMS | added(("self_attention", "feed_forward"), ("kernel", "bias")),
    "pfeiffer": NORMS | added(("self_attention",), ("kernel", "bias")),
    "adapterdrop": NORMS | added(BOTH, ("kernel", "bias")),
    "lowrank": NORMS | added(BOTH, ("s", "t", "bias")),
    "prompt_r": {"prompt.prompt"},
    "prompt_t": {"prompt.prompt"},
    "said": {"said.v", "said.scales"},
    "bitfit": {f"{name}.bias" for name in LINEAR | NORMS - LAST_NORMS},
    "phm": NORMS | added(BOTH, ("B", "bias", "rule.A")),
    "compacter": NORMS | {"rule.A"} | added(("self_attention", "feed_forward"), ("s", "t", "bias")),
    "compacterpp": NORMS | {"rule.A"} | added(("feed_forward",), ("s", "t", "bias")),
    "lora": changed_projections(("query", "value"), ("delta.A", "delta.B")),
    "ia3": changed_projections(("key", "value"), ("scale.factor",))
    | {f"{stack}.0.feed_forward.inner.scale.factor" for stack in ("encoder", "decoder")},
    "lphm": {"rule.A"} | changed_projections(("query", "value"), ("delta.s", "delta.t")),
    "krona": changed_projections(("query", "value"), ("delta.A", "delta.B")),
}
BEYOND = ("lora", "ia3", "lphm", "krona")  # the paper's methods; all are the backbone at first


FIXED = (".bias", ".delta.B", ".delta.t", ".scale.factor")  # zero or one at first
SMALL = {  # settings that fit one tiny block, where the defaults do not
    "adapterdrop": {"dropped_blocks": 0},
    "prompt_r": {"length": 4},
    "prompt_t": {"length": 4},
    "said": {"intrinsic_dim": 300},
}


def settings(name, **changes):
    method = METHODS[name]
    small = {"bottleneck": 8} if "bottleneck" in method.model_fields else {}
    return method(**small, **SMALL.get(name, {}), **changes)


_MADE = {}


@pytest.fixture
def shared_backbone(tiny_backbone):
    """One backbone of each kind for all tests here that leave its values alone."""

    def get(kind="v1_0"):
        if kind not in _MADE:
            _MADE[kind] = tiny_backbone(kind, num_layers=1)
        return _MADE[kind]

    return get


@pytest.fixture
def batch():
    """Four examples to learn by heart."""
    generator = torch.Generator().manual_seed(5)

    def ids(length):
        return [*torch.randint(2, 64, (length,), generator=generator).tolist(), 1]

    return collate([ids(n) for n in (9, 5, 7, 3)], [ids(n) for n in (2, 1, 3, 2)], "cpu")


def fine_tune(model, batch, steps, rate=3e-2):
    """The losses before every step; the rate is high, as the model is tiny."""
    optimizer = torch.optim.AdamW(model.trained_tensors().values(), lr=rate, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss_of(batch, training=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def copy_of(weights):
    return {name: variable.numpy().copy() for name, variable in weights.items()}


def changed(weights, before):
    return {n for n, values in before.items() if not np.array_equal(weights[n].numpy(), values)}


def test_every_method_is_tested_here():
    assert set(TRAINED) == set(METHODS)
    for name, method in METHODS.items():
        assert settings(name).name == name
        assert method.title


@every_method
def test_the_names_that_train_are_exactly_these(shared_backbone, name):
    model = T5Model(shared_backbone(), settings(name))
    assert set(model.trained) == TRAINED[name]
    assert len(model.trained) == len(TRAINED[name])
    trainable = {id(variable) for variable in model.trainable_variables}
    for weight, variable in model.named_weights.items():
        assert (weight in TRAINED[name]) == (id(variable) in trainable), weight
    assert len(trainable) == len(TRAINED[name])
    sizes = [tensor.numel() for tensor in model.trained_tensors().values()]
    assert sum(settings(name).count(model.shape).values()) == sum(sizes)


@every_method
def test_a_gated_backbone_adds_its_gates_and_head_to_full_alone(shared_backbone, name):
    model = T5Model(shared_backbone("gated"), settings(name))
    gates = {"head", "encoder.0.feed_forward.gate", "decoder.0.feed_forward.gate"}
    more = {"full": gates, "bitfit": {f"{gate}.bias" for gate in gates}}.get(name, set())
    assert set(model.trained) == TRAINED[name] | more


@every_method
def test_ten_steps_learn_and_change_only_what_trains(shared_backbone, batch, name):
    backbone = shared_backbone()
    model = T5Model(backbone, settings(name))
    before, of_backbone = copy_of(model.named_weights), copy_of(backbone_weights(backbone))
    little = name.startswith("prompt") or name == "ia3"  # what can do little on a random backbone
    losses = fine_tune(model, batch, steps=10, rate=0.3 if little else 3e-2)
    with torch.no_grad():
        losses.append(model.loss_of(batch).item())
    assert losses[-1] < (0.98 if little else 0.95) * losses[0], losses
    assert changed(model.named_weights, before) == TRAINED[name]
    assert changed(backbone_weights(backbone), of_backbone) == set()


@every_method
def test_training_in_place_changes_the_backbone_by_what_it_trains_of_it(
    tiny_backbone, shared_backbone, batch, name
):
    backbone = tiny_backbone(num_layers=1)
    model = T5Model(backbone, settings(name), in_place=True)
    beside = T5Model(shared_backbone(), settings(name))
    before = copy_of(backbone_weights(backbone))
    assert fine_tune(model, batch, 2) == fine_tune(beside, batch, 2)
    of_backbone = TRAINED[name] & set(before)
    assert changed(backbone_weights(backbone), before) == of_backbone
    if METHODS[name].trains_in_place:
        assert of_backbone == set(before)


@every_method
def test_two_models_on_one_backbone_do_not_disturb_each_other(shared_backbone, batch, name):
    backbone = shared_backbone()
    alone = fine_tune(T5Model(backbone, settings(name)), batch, 3)
    first = T5Model(backbone, settings(name))
    second = T5Model(backbone, settings("compacter"), seed=1)
    with torch.no_grad():
        loss = second.loss_of(batch).item()
    before = copy_of(second.named_weights)
    assert fine_tune(first, batch, 3) == alone
    assert changed(second.named_weights, before) == set()
    with torch.no_grad():
        assert second.loss_of(batch).item() == loss
    trained = [set(map(id, model.trained_tensors().values())) for model in (first, second)]
    assert not trained[0] & trained[1]


@every_method
def test_initial_values_follow_from_the_seed(shared_backbone, name):
    def built(seed):
        weights = backbone_weights(shared_backbone())
        return copy_of(named_variables(settings(name).build(SHAPE, seed, weights=weights)))

    torch.manual_seed(0)
    one = built(7)
    torch.manual_seed(1)  # no global generator has a say
    again, other = built(7), built(8)
    assert set(one) == TRAINED[name] - NORMS - BACKBONE
    for weight, values in one.items():
        assert np.array_equal(values, again[weight]), weight
        fixed = name in ("said", "prompt_t") or weight.endswith(FIXED)
        assert np.array_equal(values, other[weight]) == fixed, weight


@every_method
def test_an_untrained_model_is_the_backbone_or_finite(shared_backbone, batch, name):
    backbone = shared_backbone()
    with torch.no_grad():
        plain = T5Model(backbone).loss_of(batch).item()
        loss = T5Model(backbone, settings(name)).loss_of(batch).item()
    if name in ("full", "bitfit", "said", *BEYOND):
        assert loss == plain
    elif "adapter" in name or name in ("pfeiffer", "compacter", "compacterpp", "phm"):
        assert loss == pytest.approx(plain, rel=2e-2)  # near the identity
    assert np.isfinite(loss)


@pytest.fixture
def disturbed():
    """Moves what trains away from its start, so that a mix-up shows."""

    def disturb(model, seed=1):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in model.trained_tensors().values():
                tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
        return model

    return disturb


@every_method
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_greedy_decoding_with_a_cache_is_greedy_decoding_by_full_forwards(
    shared_backbone, batch, disturbed, name, kind
):
    model = disturbed(T5Model(shared_backbone(kind), settings(name)))
    found = model.greedy(batch.source_ids, batch.source_mask, 5)
    with torch.no_grad():
        forward = model.forward_pass()
        states, mask = forward.encode(batch.source_ids, batch.source_mask)
        ids = torch.zeros(len(batch), 1, dtype=torch.long)
        for _ in range(5):
            hidden = forward.decode(ids, torch.ones_like(ids).bool(), states, mask)
            logits = forward.logits(hidden)
            ids = torch.cat((ids, logits[:, -1:].argmax(-1)), dim=1)
    for row, full in zip(found.tolist(), ids[:, 1:].tolist(), strict=True):
        end = full.index(1) + 1 if 1 in full else len(full)
        assert row[:end] == full[:end][: len(row)]


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "full"])
def test_the_output_layer_trains_where_asked(shared_backbone, batch, name, kind):
    backbone = shared_backbone(kind)
    method = settings(name, train_output_layer=True)
    model, without = T5Model(backbone, method), T5Model(backbone, settings(name))
    assert set(model.trained) == set(without.trained) | {"head"}
    assert sum(t.numel() for t in model.trained_tensors().values()) == sum(
        method.count(model.shape).values()
    )
    with torch.no_grad():
        assert model.loss_of(batch).item() == without.loss_of(batch).item()
    before = copy_of(backbone_weights(backbone))
    head = model.named_weights["head"].numpy().copy()
    fine_tune(model, batch, 1)
    assert changed(backbone_weights(backbone), before) == set()
    assert not np.array_equal(model.named_weights["head"].numpy(), head)


@pytest.mark.slow
def test_every_saved_adapter_gives_the_same_logits_in_a_fresh_process(
    tmp_path, tiny_backbone, token_batch, disturbed
):
    inputs, expected = token_batch(), {}
    for name in METHODS:
        model = disturbed(T5Model(tiny_backbone(), settings(name), seed=5))
        with torch.no_grad():
            expected[name] = model(inputs)
        tensors = model.trained_tensors()
        safetensors.torch.save_file(tensors, tmp_path / f"{name}.safetensors")
        on_disk = safetensors.torch.load_file(tmp_path / f"{name}.safetensors")
        assert {n: list(t.shape) for n, t in on_disk.items()} == {
            n: list(t.shape) for n, t in tensors.items()
        }
    torch.save((inputs, expected), tmp_path / "expected.pt")
    script = RELOAD.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == list(METHODS)


RELOAD = """
import importlib.util, sys
from pathlib import Path
import torch, safetensors.torch

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

conftest = load("conftest", Path({tests!r}) / "conftest.py")
contract = load("contract", Path({tests!r}) / "methods" / "test_contract.py")
make = conftest.tiny_backbone.__wrapped__(conftest.start_keras())
inputs, expected = torch.load(Path({folder!r}) / "expected.pt")
for name in contract.METHODS:
    model = contract.T5Model(make(), contract.settings(name), seed=5)
    model.assign(safetensors.torch.load_file(Path({folder!r}) / (name + ".safetensors")))
    with torch.no_grad():
        assert torch.equal(model(inputs), expected[name]), name
    print(name)
"""


@pytest.mark.parametrize(
    ("seed", "layer", "expected"),
    [
        (42, "rule", 754_922_396),
        (42, "encoder.0.feed_forward.adapter", 1_781_819_472),
        (0, "rule", 297_102_603),
    ],
)
def test_seeds_of_layers_are_stable_for_ever(seed, layer, expected):
    assert seed_of(seed, layer) == expected
