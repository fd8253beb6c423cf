"""peft's LoRA, IA3 and prompt tuning of T5s.

A directory of `adapter_config.json` and `adapter_model.safetensors`, or `adapter_model.bin`, as
`PeftModel.from_pretrained` reads it. An output layer that was trained too is its
`modules_to_save = ["lm_head"]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import UsageError, excerpt
from compacter_cli.exchange.foreign import (
    Counterpart,
    Foreign,
    check_base,
    check_config,
    counterparts,
    origin_of,
    read_foreign,
    says_peft,
    write_config,
)
from compacter_cli.exchange.foreign_model import model_of, recipe_with, tables_with
from compacter_cli.exchange.hf_modules import module_of, modules_of_roles, projections
from compacter_cli.files import write_durably
from compacter_cli.methods.delta import role_of
from compacter_cli.methods.ia3 import IA3
from compacter_cli.methods.lora import LoRA
from compacter_cli.methods.prompt import PromptTuning

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.adapters.manifest import AdapterOrigin
    from compacter_cli.exchange.trained import AdapterWritten, Trained
    from compacter_cli.methods.base import Method
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import T5Shape

LIBRARY = "peft"
SAFE, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
MODEL = "base_model.model."
HEAD = ["lm_head"]
PROMPT = "prompt_embeddings"
GATE = ".wi_1.ia3_l"  # IA3's factors of a gated T5 where nobody says which modules are scaled

ABOUT = (  # what says where an adapter is from, and what for
    "peft_type", "base_model_name_or_path", "revision", "task_type", "inference_mode",
    "auto_mapping", "peft_version", "modules_to_save", "target_modules",
)  # fmt: skip
OF_LORA = (
    *ABOUT, "r", "lora_alpha", "use_rslora", "lora_dropout", "init_lora_weights", "eva_config",
    "megatron_core", "qalora_group_size",
)  # fmt: skip
OF_PROMPTS = (
    *ABOUT, "num_virtual_tokens", "num_transformer_submodules", "prompt_tuning_init",
    "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs",
)  # fmt: skip
# Of these starts of LoRA's the backbone's weights stay what they are.
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")


def recognise(directory: Path) -> bool:
    """Whether a directory holds an adapter of peft."""
    return says_peft(directory) is True


def recipe_of(directory: Path, recipe: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe of the adapter: its method as it is, all else as `recipe` and `overrides` say.

    Raises:
        UsageError: it is no method that this program has, or they contradict it.
        CompacterError: the adapter is damaged.
    """
    source, tables, shape = tables_with(directory, LIBRARY, recipe, overrides)
    adapter = read_foreign(directory, LIBRARY, (SAFE, PICKLED), shape)
    settings = settings_of(adapter, shape)
    family = ("prompt_r", "prompt_t") if "length" in settings else ()
    return recipe_with(adapter, source, tables, settings, family)


def read(directory: Path, recipe: Recipe, backbone: Backbone) -> T5Model:
    """The model of an adapter on its backbone.

    Raises:
        CompacterError: it is damaged, or its weights are not the method's on this backbone.
    """
    from compacter_cli.t5.placement import shape_of_backbone

    shape = shape_of_backbone(backbone.keras)
    adapter = read_foreign(directory, LIBRARY, (SAFE, PICKLED), shape)
    if isinstance(recipe.method, PromptTuning):
        adapter = _of_encoder(adapter, recipe.method.length)
    if isinstance(recipe.method, IA3):
        adapter = _on_inner(adapter)
    names = partial(counterpart, shape=shape, model=_model(recipe.method))
    return model_of(adapter, recipe, backbone, names)


def origin(directory: Path) -> AdapterOrigin:
    """Where the adapter in a directory is from.

    Raises:
        CompacterError: a file cannot be read.
    """
    return origin_of(directory, LIBRARY, "peft_version", ((SAFE, PICKLED),))


def write(trained: Trained, directory: Path) -> AdapterWritten:
    """Write the adapter as `PeftModel.from_pretrained` reads it.

    Raises:
        UsageError: the library has no counterpart of its method.
    """
    import safetensors.torch

    model, recipe = trained.model, trained.recipe
    config = config_of(recipe.method, model.shape)
    names = partial(counterpart, shape=model.shape, model=_model(recipe.method))
    tensors = counterparts(model.trained_tensors(), names)
    write_durably(directory / SAFE, safetensors.torch.save(tensors, {"format": "pt"}))
    about = {
        "base_model_name_or_path": recipe.backbone.preset,
        "inference_mode": True,
        "modules_to_save": HEAD if "head" in model.trained else None,
        "task_type": "SEQ_2_SEQ_LM",
    }
    write_config(directory, {**config, **about})
    return {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "notes": [],
    }


def settings_of(adapter: Foreign, shape: T5Shape) -> dict[str, Any]:
    """The settings of our method; one that is `None` must not be said.

    Raises:
        UsageError: the config says what has no counterpart.
    """
    config, kind = adapter.config, adapter.config.get("peft_type")
    readers = {"LORA": _lora, "IA3": _ia3, "PROMPT_TUNING": _prompt}
    if not isinstance(kind, str) or kind not in readers:
        raise adapter.refused(
            f"peft_type = {excerpt(kind)} has no counterpart", f"known: {', '.join(readers)}"
        )
    saved = config.get("modules_to_save") or []
    if saved not in ([], HEAD):
        raise adapter.refused(f"modules_to_save = {excerpt(saved)}: only lm_head has a counterpart")
    check_base(adapter, config.get("base_model_name_or_path"), shape)
    return {**readers[kind](adapter, shape), "train_output_layer": saved == HEAD}


def _lora(adapter: Foreign, shape: T5Shape) -> dict[str, Any]:
    config = adapter.config
    check_config(adapter, config, {"bias": "none"}, OF_LORA)
    if (start := config.get("init_lora_weights")) not in PLAIN_STARTS:
        raise adapter.refused(
            f"init_lora_weights = {excerpt(start)} changes the backbone's own weights",
            "save it with path_initial_model_for_weight_conversion, as LoRA that does not",
        )
    rank, alpha = config.get("r"), config.get("lora_alpha", 8)
    return {
        "name": "lora",
        "rank": rank,
        "alpha": float(alpha) if isinstance(alpha, int | float) else alpha,
        "rank_stabilized": bool(config.get("use_rslora")),
        "projections": _changed(adapter, shape),
    }


def _changed(adapter: Foreign, shape: T5Shape) -> list[str]:
    """Which projections have a LoRA, by the tensors themselves.

    Raises:
        UsageError: some of a kind have none, or what has one is no projection.
    """
    known, found = projections(shape), set()
    for name in adapter.tensors:
        module, _, _ = name.removeprefix(MODEL).partition(".lora_")
        if module != name.removeprefix(MODEL):
            if module not in known:
                raise adapter.refused(f"its LoRA on {excerpt(module)} has no counterpart")
            found.add(known[module])
    roles = list(dict.fromkeys(role_of(name) for name in shape.projections() if name in found))
    for name in shape.projections():
        if role_of(name) in roles and name not in found:
            raise adapter.refused(
                f"it has no LoRA on {module_of(name, shape)}: here a projection is changed "
                "in all blocks, of both stacks, or in none"
            )
    return roles


def _ia3(adapter: Foreign, shape: T5Shape) -> dict[str, Any]:
    check_config(adapter, adapter.config, {}, (*ABOUT, "feedforward_modules", "init_ia3_weights"))
    inner = adapter.config.get("feedforward_modules")
    on_gate = any(name.endswith(GATE) for name in adapter.tensors)
    if inner not in ("wo", ["wo"]) and not (on_gate and inner in ([], None)):
        raise adapter.refused(
            f"feedforward_modules = {excerpt(inner)}: only factors on what wo is given, or on what "
            "wi_1 gives, have a counterpart"
        )
    return {"name": "ia3"}


def _prompt(adapter: Foreign, shape: T5Shape) -> dict[str, Any]:
    sizes = {
        "token_dim": shape.hidden_dim,
        "num_attention_heads": shape.num_heads,
        "num_layers": shape.num_layers,
    }
    check_config(adapter, adapter.config, sizes, OF_PROMPTS)
    return {"name": "prompt_r", "length": adapter.config.get("num_virtual_tokens")}


def _of_encoder(adapter: Foreign, length: int) -> Foreign:
    """Without the second half of a prompt, that peft makes for the decoder and never reads."""
    tensors = dict(adapter.tensors)
    if PROMPT in tensors and adapter.config.get("num_transformer_submodules") == 2:
        tensors[PROMPT] = tensors[PROMPT][:length]
    return replace(adapter, tensors=tensors)


def _on_inner(adapter: Foreign) -> Foreign:
    """Factors on what `wi_1` gives as what they are, too: factors on the product `wo` is given."""

    def place(name: str) -> str:
        there = name.replace(GATE, ".wo.ia3_l")
        return name if there in adapter.tensors else there

    return replace(adapter, tensors={place(name): t for name, t in adapter.tensors.items()})


def config_of(method: Method, shape: T5Shape) -> dict[str, Any]:
    """The library's config of a method, without what says where it is from.

    Raises:
        UsageError: the library has no counterpart of it.
    """
    if isinstance(method, LoRA):
        return {
            "peft_type": "LORA",
            "r": method.rank,
            "lora_alpha": method.alpha,
            "use_rslora": method.rank_stabilized,
            "target_modules": [modules_of_roles(shape)[role] for role in method.projections],
            "lora_dropout": 0.0,
            "bias": "none",
        }
    if isinstance(method, IA3):
        targets = {"target_modules": ["k", "v", "wo"], "feedforward_modules": ["wo"]}
        return {"peft_type": "IA3", **targets}
    if isinstance(method, PromptTuning):
        return {
            "peft_type": "PROMPT_TUNING",
            "num_virtual_tokens": method.length,
            "num_transformer_submodules": 1,
            "token_dim": shape.hidden_dim,
            "num_attention_heads": shape.num_heads,
            "num_layers": shape.num_layers,
            "prompt_tuning_init": "RANDOM",
        }
    raise UsageError(
        f"{LIBRARY} has no counterpart of {method.name}",
        "it has lora, ia3, prompt_r and prompt_t; --to adapterhub writes bottleneck adapters",
    )


def _model(method: Method) -> str:
    """How names of the T5's modules begin: what adds layers to it is a module around it."""
    return "base_model." if isinstance(method, PromptTuning) else MODEL


def counterpart(name: str, *, shape: T5Shape, model: str = MODEL) -> Counterpart:
    """The library's tensor of a trained one of ours, by structural name."""
    if name == "prompt.prompt":
        return Counterpart(PROMPT)
    if name == "head":
        # One of a tied embedding is a copy of that, and as it is.
        return Counterpart(f"{model}lm_head.weight", "same" if shape.tied else "transposed")
    site, kind, part = name.rsplit(".", 2)
    module = f"{model}{module_of(site.replace('.inner', '.output'), shape)}"
    if kind == "delta":
        return Counterpart(f"{module}.lora_{part}.weight", "transposed")
    # Inner elements are scaled before the output projection, whose inputs are a row's.
    return Counterpart(f"{module}.ia3_l", "row" if site.endswith(".inner") else "column")
