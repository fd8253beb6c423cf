"""AdapterHub's files without the library: there and back, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.exchange import adapterhub
from compacter_cli.exchange.adapterhub_config import OURS as ACTIVATIONS
from compacter_cli.exchange.adapterhub_config import _factor, settings_of
from compacter_cli.exchange.foreign import CONFIG, Foreign
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.shapes import T5Shape

OURS = {
    "dense": {"name": "adapter", "bottleneck": 8},
    "pfeiffer": {"name": "pfeiffer", "placement": "after_residual", "train_layer_norms": False},
    "dropped": {"name": "adapterdrop", "dropped_blocks": 1, "bottleneck": 5, "activation": "relu"},
    "compacter": {"name": "compacter", "bottleneck": 8, "n": 2, "rank": 2, "after": "all"},
    "compacterpp": {"name": "compacterpp", "bottleneck": 8, "placement": "after_residual"},
    "phm": {"name": "phm", "bottleneck": 8, "after": "cross_attention"},
    "head": {"name": "adapter", "bottleneck": 4, "train_output_layer": True},
}


@pytest.fixture
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def written(on_cpu, trained, tmp_path):
    """Writes an adapter; gives what was written and a function that changes its config."""

    def write(kind="v1_0", **method):
        given = trained(kind, **{"name": "adapter", "bottleneck": 4, **method})
        adapterhub.write(given, tmp_path)

        def change(config=(), **about):
            path = tmp_path / CONFIG
            said = json.loads(path.read_text())
            path.write_text(
                json.dumps({**said, "config": {**said["config"], **dict(config)}} | about)
            )

        return given, change

    return write


def tensors_in(directory):
    return torch.load(directory / adapterhub.PICKLED, weights_only=True)


@pytest.mark.parametrize("case", OURS)
def test_there_and_back_are_the_same_bits(written, said, tmp_path, case):
    kind = "gated" if case in ("head", "phm") else "v1_0"
    given, _ = written(kind, **OURS[case])
    more = ["method.train_output_layer=true"] if case == "head" else []
    recipe = adapterhub.recipe_of(tmp_path, None, [*said(kind), *more])
    again = adapterhub.read(tmp_path, recipe, given.backbone).trained_tensors()
    named = recipe.method.model_copy(update={"name": given.recipe.method.name})
    assert named.settings() == given.recipe.method.settings()
    before = given.model.trained_tensors()
    assert again.keys() == before.keys()
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_names_and_forms_are_the_librarys(written, tmp_path):
    given, _ = written(name="compacter", n=2, placement="after_residual")
    ours, found = given.model.trained_tensors(), tensors_in(tmp_path)
    pairs = {
        "shared_parameters.demo_smoke.phm_rule": "rule.A",
        "encoder.block.1.layer.1.adapters.demo_smoke.adapter_down.0.W_left": (
            "encoder.1.feed_forward.residual_adapter.down.s"
        ),
        "decoder.block.0.layer.2.adapters.demo_smoke.adapter_up.W_right": (
            "decoder.0.feed_forward.residual_adapter.up.t"
        ),
        "decoder.block.0.layer.0.adapters.demo_smoke.adapter_up.b": (
            "decoder.0.self_attention.residual_adapter.up.bias"
        ),
        "decoder.block.1.layer.1.layer_norm.weight": "decoder.1.cross_attention.layer_norm",
        "encoder.final_layer_norm.weight": "encoder.layer_norm",
    }
    for theirs, name in pairs.items():
        assert torch.equal(found[theirs], ours[name]), theirs
    assert len(found) == len(ours)


def test_dense_kernels_are_transposed(written, tmp_path):
    given, _ = written(after="cross_attention", train_layer_norms=False)
    found = tensors_in(tmp_path)
    name = "decoder.block.0.layer.1.adapters.demo_smoke.adapter_down.0.weight"
    kernel = given.model.trained_tensors()["decoder.0.cross_attention.adapter.down.kernel"]
    assert torch.equal(found[name], kernel.T)
    assert len(found) == 2 * 4


def test_the_config_says_what_the_library_needs(written, tmp_path):
    settings = {"after": "feed_forward", "dropped_blocks": 1, "bottleneck": 5}
    written(placement="after_residual", activation="silu", **settings)
    about = json.loads((tmp_path / CONFIG).read_text())
    config = about.pop("config")
    assert about["name"] == "demo_smoke"
    assert (about["model_type"], about["hidden_size"]) == ("t5", 32)
    assert (config["mh_adapter"], config["output_adapter"]) == (False, True)
    assert config["leave_out"] == [0, 2]  # the decoder's blocks are counted on
    assert config["original_ln_before"] is True
    assert config["non_linearity"] == "swish"
    assert 32 // config["reduction_factor"] == 5


def test_every_bottleneck_has_a_reduction_factor():
    sizes = [(k, d) for k in (32, 512, 768, 1_024) for d in range(1, k + 1)]
    assert all(int(k // _factor(k, d)) == d for k, d in sizes)


CONFIG_OF_COMPACTER = {
    "mh_adapter": True,
    "output_adapter": True,
    "reduction_factor": 4,
    "non_linearity": "gelu",
    "phm_layer": True,
}
TINY = T5Shape(64, 32, 48, 2, 4, 8)


def settings(config=(), tensors=("shared_parameters.a.phm_rule",), about=()):
    """What is made of a config of Compacter's that is changed by `config` and `about`."""
    config = {**CONFIG_OF_COMPACTER, **dict(config)}
    about = {"version": "adapters.1.3.0", "config": config, **dict(about)}
    held = {name: torch.zeros(()) for name in tensors}
    return settings_of(Foreign(Path("here"), "AdapterHub", about, held), TINY)


def test_what_a_config_does_not_say_is_the_librarys_default():
    found, family = settings()
    assert family == ("compacter", "compacterpp")
    assert found == {
        "name": "compacter",
        "bottleneck": 8,
        "n": 4,
        "rank": 1,
        "activation": "gelu",
        "after": "both",
        "placement": None,
        "dropped_blocks": 0,
        "train_layer_norms": False,
    }
    norms = ("shared_parameters.a.phm_rule", "encoder.block.0.layer.0.layer_norm.weight")
    assert settings(tensors=norms)[0]["train_layer_norms"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"ln_before": True}, "ln_before = True has no counterpart"),
        ({"is_parallel": True}, "is_parallel = True"),
        ({"original_ln_after": False}, "original_ln_after = False has no counterpart"),
        ({"scaling": "learned"}, "scaling = learned"),
        ({"use_gating": True}, "use_gating = True"),
        ({"inv_adapter": "nice"}, "inv_adapter = nice"),
        ({"residual_before_ln": "post_add"}, "residual_before_ln = post_add"),
        ({"original_ln_before": True, "residual_before_ln": False}, "residual_before_ln = False"),
        ({"non_linearity": "leaky_relu"}, "non_linearity = leaky_relu"),
        ({"non_linearity": 3}, "non_linearity = 3"),
        ({"mh_adapter": False, "output_adapter": False}, "output_adapter = False together"),
        ({"leave_out": [1]}, r"leave_out = \[1\]: only the lowest blocks"),
        ({"leave_out": [[1]]}, r"leave_out = \[\[1\]\]: only the lowest blocks"),
        ({"reduction_factor": {"0": 8, "default": 4}}, "reduction_factor = .* for all blocks"),
        ({"reduction_factor": 0}, "reduction_factor = 0: only one positive"),
        ({"shared_phm_rule": False}, "shared_phm_rule = False with"),
        ({"phm_bias": False}, "phm_bias = False"),
        ({"shared_W_phm": True}, "shared_W_phm = True"),
        ({"factorized_phm_rule": True}, "factorized_phm_rule = True"),
        ({"architecture": "lora", "new_key": None}, "architecture = lora has no counterpart"),
    ],
)
def test_what_has_no_counterpart_is_named(config, why):
    with pytest.raises(UsageError, match=why):
        settings(config)


def test_without_its_shared_rule_it_is_refused():
    with pytest.raises(UsageError, match="its file lacks the shared rule"):
        settings(tensors=())


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"model_type": "bert"}, "it is of a bert, not of a T5"),
        ({"hidden_size": 768}, "hidden size is 768, this one's 32"),
        ({"config": "pfeiffer"}, "not that of a bottleneck adapter"),
        ({"config": {"architecture": "lora", "r": 8}}, "not that of a bottleneck adapter"),
    ],
)
def test_an_adapter_of_something_else_is_told(about, why):
    with pytest.raises(UsageError, match=why):
        settings(about=about)


def test_how_it_was_trained_is_no_reason():
    how = {"dropout": 0.3, "init_weights": "mam_adapter", "learn_phm": False}
    assert settings({**how, "stochastic_depth": 0.1}) == settings()
    dense = {"phm_layer": False, "phm_bias": False, "shared_W_phm": True}  # nothing of a dense one
    assert settings(dense)[0]["name"] == "adapter"


def test_the_first_versions_called_the_tanh_form_gelu():
    assert settings()[0]["activation"] == "gelu"
    first = {"config": CONFIG_OF_COMPACTER}
    held = {"x.phm_rule": torch.zeros(())}
    found, _ = settings_of(Foreign(Path("here"), "AdapterHub", first, held), TINY)
    assert found["activation"] == "gelu_tanh"


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ({"name": "lowrank"}, "no counterpart of lowrank"),
        ({"name": "lora"}, "no counterpart of lora"),
        ({"placement": "parallel"}, "method.placement = parallel: its own is fed"),
        ({"activation": "softsign"}, "method.activation = softsign: it has gelu_tanh, gelu"),
        ({"train_output_layer": True}, "method.train_output_layer = true where embedding and head"),
    ],
)
def test_what_the_library_does_not_have_is_named(on_cpu, trained, tmp_path, method, why):
    method = {"name": "adapter", **method}
    with pytest.raises(UsageError, match=why):
        adapterhub.write(trained(**method), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_may_name_the_method_and_not_change_it(written, said, tmp_path):
    written(name="compacter", after="feed_forward", bottleneck=8)
    recipe_of = adapterhub.recipe_of
    assert recipe_of(tmp_path, None, said()).method.name == "compacterpp"
    named = recipe_of(tmp_path, None, [*said(), "method.name=compacter", "method.bottleneck=8"])
    assert (named.method.name, named.method.after) == ("compacter", "feed_forward")
    for wrong in ("method.name=adapter", "method.after=both", "method.placement=parallel"):
        key, value = wrong.split("=")
        with pytest.raises(UsageError, match=f"{key} = {value}: the adapter in .* has ") as caught:
            recipe_of(tmp_path, None, [*said(), wrong])
        assert f"leave {key} out" in caught.value.hint
    with pytest.raises(UsageError, match=r"method\.bottleneck = 24: the adapter .* has 8"):
        recipe_of(tmp_path, "demo/smoke_compacterpp", said()[1:])
    cleared = recipe_of(tmp_path, "demo/smoke_compacterpp", ["method={}", said()[1]])
    assert cleared.method.settings()["bottleneck"] == 8


def test_task_and_backbone_must_be_said(written, said, tmp_path):
    written()
    for sets in ([], said()[:1], said()[1:]):
        with pytest.raises(UsageError, match="does not say what it answers") as caught:
            adapterhub.recipe_of(tmp_path, None, sets)
        assert "--recipe NAME" in caught.value.hint


def test_the_output_layer_beside_it_is_the_backbones_or_said_to_be_trained(written, said, tmp_path):
    given, _ = written("gated")
    own = backbone_weights(given.backbone.keras)["head"].value.T.contiguous()
    recipe = adapterhub.recipe_of(tmp_path, None, said("gated"))
    for name in ("lm_head.weight", "heads.mine.0.weight"):
        torch.save({name: own}, tmp_path / adapterhub.PICKLED_HEAD)
        adapterhub.read(tmp_path, recipe, given.backbone)
    torch.save({"lm_head.weight": own.bfloat16()}, tmp_path / adapterhub.PICKLED_HEAD)
    adapterhub.read(tmp_path, recipe, given.backbone)
    torch.save({"heads.mine.0.weight": own + 1}, tmp_path / adapterhub.PICKLED_HEAD)
    with pytest.raises(UsageError, match="output layer that was saved with it is not") as caught:
        adapterhub.read(tmp_path, recipe, given.backbone)
    more = "method.train_output_layer=true"
    assert more in caught.value.hint
    recipe = adapterhub.recipe_of(tmp_path, None, [*said("gated"), more])
    model = adapterhub.read(tmp_path, recipe, given.backbone)
    assert torch.equal(model.trained_tensors()["head"], (own + 1).T)
    torch.save(
        {"heads.mine.1.weight": own[:3], "heads.mine.1.bias": own[0]},
        tmp_path / adapterhub.PICKLED_HEAD,
    )
    with pytest.raises(UsageError, match=r"holds heads\.mine\.1\.bias, heads"):
        adapterhub.read(tmp_path, recipe, given.backbone)


def test_weights_of_another_t5_are_told(written, said, tmp_path, trained):
    given, change = written(bottleneck=4)
    found = tensors_in(tmp_path)
    dropped = {n: t for n, t in found.items() if "decoder.block.1." not in n}
    torch.save(dropped, tmp_path / adapterhub.PICKLED)
    recipe = adapterhub.recipe_of(tmp_path, None, said())
    with pytest.raises(CompacterError, match=r"decoder\.block\.1\..* is missing"):
        adapterhub.read(tmp_path, recipe, given.backbone)
    torch.save({**found, "more": found.popitem()[1]}, tmp_path / adapterhub.PICKLED)
    with pytest.raises(CompacterError, match=r"more has no counterpart"):
        adapterhub.read(tmp_path, recipe, given.backbone)
    written(bottleneck=4)
    change({"reduction_factor": 4})
    recipe = adapterhub.recipe_of(tmp_path, None, said())
    with pytest.raises(CompacterError, match=r"has the shape \(32, 4\), expected \(32, 8\)"):
        adapterhub.read(tmp_path, recipe, given.backbone)


def test_activations_are_known_by_one_name_each():
    assert set(ACTIVATIONS.values()) == {
        "gelu_tanh", "gelu", "silu", "relu", "relu6", "sigmoid", "tanh", "mish", "linear"
    }  # fmt: skip
