"""AdapterHub's config of a bottleneck adapter, and our methods' settings that mean the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import UsageError, excerpt
from compacter_cli.exchange.foreign import Foreign, check_base, check_config
from compacter_cli.methods.bottleneck import Bottleneck
from compacter_cli.methods.dense import DenseBottleneck
from compacter_cli.methods.hypercomplex import LowRankHypercomplex
from compacter_cli.methods.phm import PHM

if TYPE_CHECKING:
    from compacter_cli.methods.base import Method
    from compacter_cli.t5.shapes import T5Shape

LIBRARY = "AdapterHub"
MODELS = ("t5", "mt5")

# The first of each of ours is what is written; of the others only the last digits differ.
ACTIVATIONS = {
    "gelu_tanh": (
        "gelu_new",
        "gelu_pytorch_tanh",
        "gelu_python_tanh",
        "gelu_fast",
        "gelu_accurate",
    ),
    "gelu": ("gelu", "gelu_python"),
    "silu": ("swish", "silu"),
    **{name: (name,) for name in ("relu", "relu6", "sigmoid", "tanh", "mish", "linear")},
}
OURS = {theirs: ours for ours, names in ACTIVATIONS.items() for theirs in names}
UNVERSIONED = {"gelu": "gelu_new", "gelu_orig": "gelu"}  # what the first versions called them

# Which sub-layers have an adapter: mh_adapter, cross_adapter, output_adapter.
AFTER: dict[tuple[bool, ...], str] = {
    (True, False, True): "both",
    (True, False, False): "self_attention",
    (False, True, False): "cross_attention",
    (False, False, True): "feed_forward",
    (True, True, True): "all",
}
LOCATIONS = ("mh_adapter", "cross_adapter", "output_adapter")
USUAL = {"original_ln_after": True, "scaling": 1.0, "phm_bias": True}  # all else is off
# What is read, and what says only how an adapter was begun and trained.
FREE = (
    *LOCATIONS, "reduction_factor", "non_linearity", "original_ln_before", "residual_before_ln",
    "leave_out", "phm_layer", "phm_dim", "phm_rank", "shared_phm_rule", "factorized_phm_W",
    "dropout", "stochastic_depth", "init_weights", "init_weights_seed", "learn_phm", "phm_c_init",
    "phm_init_range", "hypercomplex_nonlinearity", "adapter_residual_before_ln",
)  # fmt: skip
OF_PHM = ("phm_bias", "shared_W_phm", "factorized_phm_rule")  # nothing of a dense adapter
DENSE = ("adapter", "pfeiffer", "adapterdrop")
# Methods by whether the rule is shared, and the factors are of low rank.
HYPERCOMPLEX = {(True, True): ("compacter", "compacterpp"), (False, False): ("phm",)}

PLAIN = {
    "original_ln_after": True,
    "residual_before_ln": True,
    "ln_before": False,
    "ln_after": False,
    "is_parallel": False,
    "scaling": 1.0,
    "dropout": 0.0,
}


def settings_of(adapter: Foreign, shape: T5Shape) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`(settings, methods)`: those of our methods, and which methods take them.

    A setting that is `None` must not be said.

    Raises:
        UsageError: the config says what has no counterpart.
    """
    config = adapter.config.get("config")
    if not isinstance(config, dict) or not {*LOCATIONS[::2], "reduction_factor"} <= config.keys():
        raise adapter.refused("its config is not that of a bottleneck adapter")
    _check_model(adapter, shape)
    phm = bool(config.get("phm_layer"))
    said = {key: value for key, value in config.items() if phm or key not in OF_PHM}
    check_config(adapter, said, USUAL, FREE)
    family = _family(adapter, config) if phm else DENSE
    if family == HYPERCOMPLEX[True, True]:
        _check_rule(adapter)
    after = _after(adapter, config)
    settings = {
        "name": _likeliest(family, after),
        "bottleneck": _bottleneck(adapter, config["reduction_factor"], shape.hidden_dim),
        "activation": _activation(adapter, config),
        "after": after,
        "placement": _placement(adapter, config),
        "dropped_blocks": _dropped(adapter, config.get("leave_out") or [], shape.num_layers),
        "train_layer_norms": any(name.endswith("layer_norm.weight") for name in adapter.tensors),
    }
    if phm:
        settings["n"] = config.get("phm_dim", 4)
    if family == HYPERCOMPLEX[True, True]:
        settings["rank"] = config.get("phm_rank", 1)
    return settings, family


def _check_model(adapter: Foreign, shape: T5Shape) -> None:
    check_base(adapter, adapter.config.get("model_name"), shape)
    kind, size = adapter.config.get("model_type"), adapter.config.get("hidden_size")
    if kind not in (None, *MODELS):
        raise adapter.refused(f"it is of a {excerpt(kind)}, not of a T5")
    if size not in (None, shape.hidden_dim):
        raise adapter.refused(
            f"its backbone's hidden size is {excerpt(size)}, this one's {shape.hidden_dim}",
            "give the T5 that it was trained on: --set backbone.preset=DIR",
        )


def _family(adapter: Foreign, config: dict[str, Any]) -> tuple[str, ...]:
    shared, low_rank = config.get("shared_phm_rule", True), config.get("factorized_phm_W", True)
    if (bool(shared), bool(low_rank)) not in HYPERCOMPLEX:
        raise adapter.refused(
            f"shared_phm_rule = {shared} with factorized_phm_W = {low_rank} has no counterpart"
        )
    return HYPERCOMPLEX[bool(shared), bool(low_rank)]


def _check_rule(adapter: Foreign) -> None:
    if not any(name.endswith(".phm_rule") for name in adapter.tensors):
        raise adapter.refused(
            "its file lacks the shared rule (shared_parameters.NAME.phm_rule), which save_adapter "
            "leaves out for a T5ForConditionalGeneration",
            "load it as T5AdapterModel and save it again where it was trained, or add the rule",
        )


def _likeliest(family: tuple[str, ...], after: str) -> str:
    """The method that is called so where an adapter stands there: the first, or the second."""
    return family[after in ("self_attention", "feed_forward") and len(family) > 1]


def _after(adapter: Foreign, config: dict[str, Any]) -> str:
    places = tuple(bool(config.get(key)) for key in LOCATIONS)
    after = AFTER.get(places)
    if after is None:
        said = ", ".join(f"{key} = {there}" for key, there in zip(LOCATIONS, places, strict=True))
        raise adapter.refused(f"{said} together have no counterpart")
    return after


def _placement(adapter: Foreign, config: dict[str, Any]) -> str | None:
    """f(h + x) + h + x, or f(h) + h + x: what the adapter is fed decides."""
    summed, around = config.get("original_ln_before", False), config.get("residual_before_ln", True)
    if around == "post_add" or (summed and around is not True):
        raise adapter.refused(f"residual_before_ln = {excerpt(around)} has no counterpart")
    return "after_residual" if summed else None


def _activation(adapter: Foreign, config: dict[str, Any]) -> str:
    name = str(config.get("non_linearity")).lower()
    if "version" not in adapter.config:
        name = UNVERSIONED.get(name, name)
    if name not in OURS:
        raise adapter.refused(f"non_linearity = {excerpt(name)} has no counterpart")
    return OURS[name]


def _bottleneck(adapter: Foreign, factor: object, k: int) -> int:
    """d, which the library has as int(k // factor), of a block or of all."""
    factors = list(factor.values()) if isinstance(factor, dict) else [factor]
    sizes = {_size(one, k) for one in factors}
    if len(sizes) != 1 or None in sizes:
        raise adapter.refused(
            f"reduction_factor = {excerpt(factor)}: only one positive number, for all blocks, has "
            "a counterpart"
        )
    return sizes.pop() or 1


def _size(factor: object, k: int) -> int | None:
    if isinstance(factor, int | float) and math.isfinite(factor) and factor > 0:
        return int(k // factor)
    return None


def _factor(k: int, d: int) -> float:
    """A reduction factor of which the library makes d."""
    if k % d == 0:
        return k // d
    factor = k / d
    while int(k // factor) < d:  # rounded up
        factor = math.nextafter(factor, 0)
    return factor


def _dropped(adapter: Foreign, left_out: object, blocks: int) -> int:
    """How many of the lowest blocks of either stack are left out: the decoder's count on."""
    numbers = left_out if isinstance(left_out, list) else [None]
    dropped = len(numbers) // 2
    if any(number not in numbers for number in _left_out(dropped, blocks)) or len(numbers) % 2:
        raise adapter.refused(
            f"leave_out = {excerpt(left_out)}: only the lowest blocks of either stack, as many of "
            "both, can be left out"
        )
    return dropped


def _left_out(dropped: int, blocks: int) -> list[int]:
    return [*range(dropped), *range(blocks, blocks + dropped)]


def bottlenecks(method: Method) -> Bottleneck:
    """A method that the library has.

    Raises:
        UsageError: it is another.
    """
    if isinstance(method, DenseBottleneck | LowRankHypercomplex | PHM):
        return method
    raise UsageError(
        f"{LIBRARY} has no counterpart of {method.name}",
        "--to keras-hub folds in what is linear; --to peft writes lora, ia3 and prompts",
    )


def config_of(method: Bottleneck, shape: T5Shape) -> dict[str, Any]:
    """The library's config of a bottleneck method.

    Raises:
        UsageError: the library has no counterpart of a setting.
    """
    if method.train_output_layer and shape.tied:
        raise _unknown(
            "train_output_layer = true where embedding and head are tied",
            "it would load the one into the other",
        )
    if method.placement == "parallel":
        raise _unknown("placement = parallel", "its own is fed what has not been normed")
    if method.activation not in ACTIVATIONS:
        raise _unknown(f"activation = {method.activation}", f"it has {', '.join(ACTIVATIONS)}")
    places = next(places for places, after in AFTER.items() if after == method.after)
    return {
        **dict(zip(LOCATIONS, places, strict=True)),
        **PLAIN,
        "reduction_factor": _factor(shape.hidden_dim, method.bottleneck),
        "non_linearity": ACTIVATIONS[method.activation][0],
        "original_ln_before": method.placement == "after_residual",
        "leave_out": _left_out(method.dropped_blocks, shape.num_layers),
        **_hypercomplex_keys(method),
    }


def _hypercomplex_keys(method: Bottleneck) -> dict[str, Any]:
    if isinstance(method, LowRankHypercomplex):
        keys = {"phm_dim": method.n, "phm_rank": method.rank}
        return {"phm_layer": True, "shared_phm_rule": True, "factorized_phm_W": True, **keys}
    if isinstance(method, PHM):
        keys = {"shared_phm_rule": False, "factorized_phm_W": False}
        return {"phm_layer": True, "phm_dim": method.n, **keys}
    return {"phm_layer": False}


def _unknown(setting: str, why: str) -> UsageError:
    return UsageError(
        f"{LIBRARY} has no counterpart of method.{setting}: {why}",
        "the adapter stays one of this program",
    )
