"""A trained adapter as a plain T5: what its method changed is folded into the weights."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from compacter_cli.exchange.examples import Examples, examples_of, logits_of
from compacter_cli.exchange.trained import Plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keras_hub.models import T5Backbone
    from torch import Tensor

    from compacter_cli.exchange.trained import Compared, Folded, FoldedWritten, Trained


def write_folded(
    read: Callable[[], Trained], directory: Path, write: Callable[[Plain, Path], None]
) -> FoldedWritten:
    """Write the plain T5 by a format's `write`, load it again, and compare it with the model.

    One backbone is in memory at a time: the model's own is folded into, and gone when what was
    written is loaded.

    Args:
        read: gives the adapter on its backbone; nobody else may hold it.
        directory: an empty folder.
        write: of a format.

    Raises:
        UsageError: the method adds what no weight of a T5 can hold.
        CompacterError: what was folded is not finite.
    """
    from compacter_cli.t5.merging import check_foldable, fold

    trained = read()
    check_foldable(trained.model)
    execution, vocabulary = trained.recipe.train.execution, trained.vocabulary
    examples = examples_of(trained.recipe, vocabulary, trained.model.device)
    wanted, was_tied = logits_of(trained.model, examples.batch), trained.model.shape.tied
    backbone, changed = fold(trained.model)
    write(Plain(backbone, vocabulary), directory)
    told = _folded(backbone, changed, was_tied)
    del trained, backbone
    gc.collect()  # Keras' layers know each other in circles
    return {"folded": told, "compared": _compared(wanted, examples, directory, execution)}


def _folded(backbone: T5Backbone, changed: set[str], was_tied: bool) -> Folded:
    from compacter_cli.t5.placement import backbone_weights

    sizes = {name: v.value.numel() for name, v in backbone_weights(backbone).items()}
    return {
        "tensors": len(changed),
        "of_tensors": len(sizes),
        "parameters": sum(sizes[name] for name in changed),
        "of_parameters": sum(sizes.values()),
        "untied": was_tied and not backbone.tie_embedding_weights,
    }


def _compared(wanted: Tensor, examples: Examples, directory: Path, execution: str) -> Compared:
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.model import T5Model

    again = T5Model(load_backbone(str(directory)).keras, execution=execution)
    found = logits_of(again, examples.batch)
    return {
        "largest_difference": float((found - wanted).abs().max()),
        "largest_logit": float(wanted.abs().max()),
        "examples": len(examples.batch),
        "on": "random tokens" if examples.why else "validation",
        "why": examples.why,
    }
