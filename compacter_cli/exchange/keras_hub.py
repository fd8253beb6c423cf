"""A run as a plain KerasHub preset: what its method changed is folded into the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.exchange.trained import Compared, Folded, Trained, Written


def write(trained: Trained, directory: Path) -> Written:
    """Write the preset, load it again, and compare it with the run's model.

    Raises:
        UsageError: the method adds what no weight of a T5 can hold.
        CompacterError: what was folded is not finite.
    """
    return {"folded": _fold(trained, directory), "compared": _compare(trained, directory)}


def _fold(trained: Trained, directory: Path) -> Folded:
    import torch

    from compacter_cli.t5.merging import merged
    from compacter_cli.t5.placement import backbone_weights
    from compacter_cli.t5.saving import write_preset

    plain = merged(trained.model)
    write_preset(directory, plain, trained.vocabulary, "float32")
    before = {name: v.value for name, v in backbone_weights(trained.model.backbone).items()}
    now = {name: v.value for name, v in backbone_weights(plain).items()}
    changed = [n for n in now if n not in before or not torch.equal(now[n], before[n])]
    return {
        "tensors": len(changed),
        "of_tensors": len(now),
        "parameters": sum(now[name].numel() for name in changed),
        "of_parameters": sum(value.numel() for value in now.values()),
        "untied": trained.model.shape.tied and not plain.tie_embedding_weights,
    }


def _compare(trained: Trained, directory: Path) -> Compared:
    from compacter_cli.exchange.examples import examples_of, logits_of
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.model import T5Model

    examples = examples_of(trained.recipe, trained.vocabulary, trained.model.device)
    loaded = load_backbone(str(directory)).keras
    again = T5Model(loaded, execution=trained.recipe.train.execution)
    wanted, found = (logits_of(model, examples.batch) for model in (trained.model, again))
    return {
        "largest_difference": float((found - wanted).abs().max()),
        "largest_logit": float(wanted.abs().max()),
        "examples": len(examples.batch),
        "on": "random tokens" if examples.why else "validation",
        "why": examples.why,
    }
