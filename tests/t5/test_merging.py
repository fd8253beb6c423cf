"""What is folded computes what the model computes, and what cannot be folded is refused."""

import pytest
import torch

from compacter_cli.errors import UsageError
from compacter_cli.methods import METHODS
from compacter_cli.t5.merging import FOLDED, check_foldable, fold, folded, folded_weights
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.parts import Kronecker, Linear, Thin
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.variables import assign_all

LINEAR = {
    "full": {},
    "said": {"intrinsic_dim": 400},
    "lora": {"rank": 3, "projections": ["query", "output", "feed_forward.input"]},
    "ia3": {},
    "lphm": {"n": 4},
    "krona": {},
}


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


def moved(backbone, method, **options):
    """A model of a method all of whose weights are away from where they start."""
    model = T5Model(backbone, method, **options)
    generator = torch.Generator().manual_seed(1)
    model.assign(
        {
            name: tensor.detach() + 0.1 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in model.trained_tensors().items()
        }
    )
    return model


def logits(model, inputs):
    with torch.no_grad():
        return model.call(inputs)[inputs["decoder_padding_mask"].bool()]


@pytest.mark.parametrize("head", [False, True], ids=["", "head"])
@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("name", LINEAR)
def test_it_computes_what_the_model_computes(shared_backbone, token_batch, name, kind, head):
    backbone, inputs = shared_backbone(kind), token_batch()
    given = {"train_output_layer": True} if head and name != "full" else {}
    model = moved(backbone, METHODS[name](**LINEAR[name], **given))
    untied = kind == "gated" or bool(given)
    plain = shared_backbone(kind, seed=1, tie_embedding_weights=not untied)
    with torch.no_grad():
        weights = dict(folded_weights(model.forward_pass().parts, model.shape))
    assign_all(backbone_weights(plain), weights)
    expected = logits(model, inputs)
    torch.testing.assert_close(
        logits(T5Model(plain), inputs), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
    )
    before = logits(T5Model(backbone), inputs)
    assert (before - expected).abs().max() > 0.05 * expected.abs().max()  # it did move


def test_only_what_a_method_changes_is_another(tiny_backbone):
    backbone = tiny_backbone()
    before = {n: v.value.clone() for n, v in backbone_weights(backbone).items()}
    found, changed = fold(moved(backbone, METHODS["lora"](projections=["query"])))
    assert found is backbone
    now = backbone_weights(found)
    assert changed == {name for name in now if name.endswith("query")}
    assert changed == {n for n, v in now.items() if not torch.equal(v.value, before[n])}


def test_a_copied_head_is_untied_with_the_tied_factor_in_it(shared_backbone):
    model = moved(shared_backbone(), METHODS["lora"](train_output_layer=True))
    plain, changed = fold(model)
    assert "head" in changed
    found = backbone_weights(plain)["head"].value
    trained = model.trained_tensors()["head"]
    torch.testing.assert_close(found, trained.T / 32**0.5)  # of 32 hidden dimensions
    assert not plain.tie_embedding_weights


def test_a_projection_is_folded_by_hand():
    x, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    thin = Thin(torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0, 3.0]]))  # [[2, 3], [2, 3]]
    scale, before = torch.tensor([10.0, 100.0]), torch.tensor([1.0, 2.0])
    made = folded(Linear(weight, None, thin, scale, before))
    assert made.tolist() == [[30.0, 300.0], [40.0, 800.0]]
    # ((1, 4) W + (1, 4) delta) * scale = ((1, 4) + (10, 15)) * (10, 100)
    assert (x @ made).tolist() == [[110.0, 1900.0]]
    left, right = torch.tensor([[2.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert folded(Linear(weight, delta=Kronecker(left, right))).tolist() == [[3, 2], [0, 3]]


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("compacterpp", {"n": 4, "bottleneck": 8}, "bottleneck adapters, which are not linear"),
        ("prompt_r", {"length": 3}, "a prompt, for which a plain T5 has no place"),
        ("bitfit", {}, "biases, for which a plain T5 has no place"),
    ],
)
def test_what_no_weight_can_hold_is_refused(shared_backbone, name, settings, why):
    model = T5Model(shared_backbone(), METHODS[name](**settings))
    with pytest.raises(UsageError, match=f"its method adds {why}\n") as caught:
        fold(model)
    assert "compacter predict" in caught.value.hint
    assert ("attach" in caught.value.hint) == (name == "compacterpp")


def test_every_method_is_folded_or_refused_by_its_kinds(shared_backbone):
    small = {"said": LINEAR["said"], "adapterdrop": {"dropped_blocks": 1}}
    small |= {"prompt_r": {"length": 3}, "prompt_t": {"length": 3}}
    backbone, foldable = shared_backbone(), set()
    for name, method in METHODS.items():
        model = T5Model(backbone, method(**small.get(name, {})))
        try:
            check_foldable(model)
        except UsageError:
            assert set(model.kinds) - set(FOLDED), name
        else:
            foldable.add(name)
    assert foldable == set(LINEAR)


def test_it_is_folded_in_float32_alone(shared_backbone):
    model = T5Model(shared_backbone(), METHODS["lora"](), compute_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"in float32\. Received: bfloat16"):
        fold(model)
