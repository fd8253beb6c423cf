"""AdapterHub's bottleneck adapters: Houlsby's, Pfeiffer's, Compacter and what is between them.

A directory of `adapter_config.json` and `pytorch_adapter.bin`, or `adapter.safetensors`, as the
library `adapters` writes and reads them. Beside the adapters proper its file may hold layer norms:
the library's `load_adapter` puts whatever a file holds into the model. An output layer is in a file
of its own, whether it was trained or not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from compacter_cli.errors import excerpt
from compacter_cli.exchange.adapterhub_config import (
    LIBRARY,
    MODELS,
    bottlenecks,
    config_of,
    settings_of,
)
from compacter_cli.exchange.foreign import (
    Counterpart,
    Foreign,
    counterparts,
    origin_of,
    pickled,
    read_foreign,
    read_weights,
    says_peft,
    write_config,
)
from compacter_cli.exchange.foreign_model import model_of, recipe_with, tables_with
from compacter_cli.exchange.hf_modules import module_of
from compacter_cli.files import write_durably
from compacter_cli.methods.bottleneck import NAMES, Bottleneck
from compacter_cli.methods.dense import DenseBottleneck

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from compacter_cli.adapters.manifest import AdapterOrigin
    from compacter_cli.exchange.trained import AdapterWritten, Trained
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import T5Shape

VERSION = "adapters.1.3.0"  # of the library whose files these are
CLASS = "T5ForConditionalGeneration"
PICKLED, SAFE = "pytorch_adapter.bin", "adapter.safetensors"
PICKLED_HEAD, SAFE_HEAD, HEAD_CONFIG = (
    "pytorch_model_head.bin",
    "model_head.safetensors",
    "head_config.json",
)
HEAD = "lm_head.weight"
NORMS = (
    "{} layer norms, which were trained too, are in its file: load_adapter puts them into the "
    "model itself, where they stay when another adapter is active"
)

SIDES = {"down": "adapter_down.0", "up": "adapter_up"}
PARTS = {
    "kernel": Counterpart("weight", "transposed"),
    "s": Counterpart("W_left"),
    "t": Counterpart("W_right"),
    "B": Counterpart("W"),
    "rule.A": Counterpart("phm_rule"),
}


def recognise(directory: Path) -> bool:
    """Whether a directory holds an adapter of AdapterHub."""
    return says_peft(directory) is False


def recipe_of(directory: Path, recipe: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe of the adapter: its method as it is, all else as `recipe` and `overrides` say.

    Raises:
        UsageError: it is no bottleneck that this program has, or they contradict it.
        CompacterError: the adapter is damaged.
    """
    source, tables, shape = tables_with(directory, LIBRARY, recipe, overrides)
    adapter = _read(directory, shape)
    settings, family = settings_of(adapter, shape)
    return recipe_with(adapter, source, tables, settings, family)


def read(directory: Path, recipe: Recipe, backbone: Backbone) -> T5Model:
    """The model of an adapter on its backbone.

    Raises:
        UsageError: its output layer was trained, too, and the recipe does not say so.
        CompacterError: it is damaged, or its weights are not the method's on this backbone.
    """
    from compacter_cli.t5.placement import shape_of_backbone

    shape, method = shape_of_backbone(backbone.keras), bottlenecks(recipe.method)
    adapter = _read(directory, shape)
    if (head := _head(adapter, shape)) is not None:
        if method.train_output_layer:
            adapter = replace(adapter, tensors={**adapter.tensors, HEAD: head})
        else:
            _check_head(adapter, head, backbone)
    called = str(adapter.config.get("name"))
    return model_of(
        adapter, recipe, backbone, partial(counterpart, method=method, shape=shape, called=called)
    )


def origin(directory: Path) -> AdapterOrigin:
    """Where the adapter in a directory is from.

    Raises:
        CompacterError: a file cannot be read.
    """
    return origin_of(directory, LIBRARY, "version", ((SAFE, PICKLED), (SAFE_HEAD, PICKLED_HEAD)))


def write(trained: Trained, directory: Path) -> AdapterWritten:
    """Write the adapter as `load_adapter` reads it.

    Raises:
        UsageError: the library has no counterpart of its method or a setting.
    """
    method, shape = bottlenecks(trained.recipe.method), trained.model.shape
    config, called = config_of(method, shape), trained.recipe.task.replace("/", "_")
    names = partial(counterpart, method=method, shape=shape, called=called)
    tensors = counterparts(trained.model.trained_tensors(), names)
    about = {
        "hidden_size": shape.hidden_dim,
        "model_class": CLASS,
        "model_name": trained.recipe.backbone.preset,
        "model_type": MODELS[0],
        "version": VERSION,
    }
    in_file = {name: tensor for name, tensor in tensors.items() if name != HEAD}
    write_durably(directory / PICKLED, pickled(in_file))
    write_config(directory, {**about, "name": called, "config": config})
    if HEAD in tensors:
        write_durably(directory / PICKLED_HEAD, pickled({HEAD: tensors[HEAD]}))
        write_config(directory, {**about, "name": None, "config": None}, HEAD_CONFIG)
    norms = sum(name.endswith("layer_norm.weight") for name in tensors)
    return {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "notes": [NORMS.format(norms)] if norms else [],
    }


def _read(directory: Path, shape: T5Shape) -> Foreign:
    adapter = read_foreign(directory, LIBRARY, (SAFE, PICKLED), shape)
    # As the library's own class with heads calls them.
    tensors = {name.removeprefix("transformer."): t for name, t in adapter.tensors.items()}
    return replace(adapter, tensors=tensors)


def _head(adapter: Foreign, shape: T5Shape) -> Tensor | None:
    """The output layer (V, k) that was saved beside an adapter, `None` where none was.

    Raises:
        UsageError: it is another head than a language model's.
    """
    tensors = read_weights(adapter.directory, (SAFE_HEAD, PICKLED_HEAD), shape)
    if tensors is None:
        return None
    found = {name: t for name, t in tensors.items() if name == HEAD or _IN_HEADS.fullmatch(name)}
    size = (shape.vocabulary_size, shape.hidden_dim)
    if len(tensors) != 1 or [tuple(t.shape) for t in found.values()] != [size]:
        held = ", ".join(map(excerpt, sorted(tensors)[:3])) or "nothing"
        raise adapter.refused(
            f"the head that was saved with it holds {held}: not the output layer of this T5",
            "save it without the head: save_adapter(..., with_head=False)",
        )
    return next(iter(found.values()))


_IN_HEADS = re.compile(r"heads\..+\.weight")  # of the library's own class with heads


def _check_head(adapter: Foreign, head: Tensor, backbone: Backbone) -> None:
    """Refuse an output layer that is not the backbone's own, saved in whatever precision.

    Raises:
        UsageError: it is another.
    """
    import torch

    from compacter_cli.t5.placement import backbone_weights

    weights = backbone_weights(backbone.keras)
    own = weights["head"].value.T if "head" in weights else weights["embedding"].value
    kinds = (torch.float32, torch.bfloat16, torch.float16)
    if not any(torch.equal(head, own.detach().cpu().to(kind).float()) for kind in kinds):
        raise adapter.refused(
            f"the output layer that was saved with it is not that of {backbone.preset}",
            "if it was trained, --set method.train_output_layer=true takes it along; else give "
            "the T5 that it was trained on",
        )


def counterpart(name: str, *, method: Bottleneck, shape: T5Shape, called: str) -> Counterpart:
    """The library's tensor of a trained one of ours.

    Args:
        name: structural name of ours.
        method: whose it is.
        shape: dimensions of the backbone.
        called: the adapter's name.
    """
    if name == "rule.A":
        return Counterpart(f"shared_parameters.{called}.phm_rule")
    if name == "head":
        # One of a tied embedding is a copy of that, and as it is.
        return Counterpart(HEAD, "same" if shape.tied else "transposed")
    if name.endswith("layer_norm"):
        return Counterpart(f"{module_of(name, shape)}.weight")
    sublayer, _, inner = name.partition(f".{NAMES[method.placement]}.")
    side, _, part = inner.partition(".")
    if part == "bias":
        found = Counterpart("bias" if isinstance(method, DenseBottleneck) else "b")
    else:
        found = PARTS[part]
    return found._replace(
        name=f"{module_of(sublayer, shape)}.adapters.{called}.{SIDES[side]}.{found.name}"
    )
