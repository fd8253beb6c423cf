"""A trained adapter as a plain T5: what its method changed is folded into the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.exchange.trained import Plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compacter_cli.exchange.trained import Compared, Folded, FoldedWritten, Trained


def write_folded(
    trained: Trained, directory: Path, write: Callable[[Plain, Path], None]
) -> FoldedWritten:
    """Write the plain T5 by a format's `write`, load it again, and compare it with the model.

    Raises:
        UsageError: the method adds what no weight of a T5 can hold.
        CompacterError: what was folded is not finite.
    """
    from compacter_cli.t5.merging import merged

    plain = Plain(merged(trained.model), trained.vocabulary)
    write(plain, directory)
    return {"folded": _folded(trained, plain), "compared": _compared(trained, directory)}


def _folded(trained: Trained, plain: Plain) -> Folded:
    import torch

    from compacter_cli.t5.placement import backbone_weights

    before = {name: v.value for name, v in backbone_weights(trained.model.backbone).items()}
    now = {name: v.value for name, v in backbone_weights(plain.backbone).items()}
    changed = [n for n in now if n not in before or not torch.equal(now[n], before[n])]
    return {
        "tensors": len(changed),
        "of_tensors": len(now),
        "parameters": sum(now[name].numel() for name in changed),
        "of_parameters": sum(value.numel() for value in now.values()),
        "untied": trained.model.shape.tied and not plain.backbone.tie_embedding_weights,
    }


def _compared(trained: Trained, directory: Path) -> Compared:
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
