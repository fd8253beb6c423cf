"""Examples on which a run's model is compared with what was made of it: real ones, if there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.vocabulary import Vocabulary

ROWS = 64  # at most: of T5's vocabulary and one-word answers their logits take 16 MB
RANDOM_SOURCE, RANDOM_TARGET = 32, 8  # tokens


@dataclass(frozen=True)
class Examples:
    """A batch of the first validation rows; of random tokens where `why` says there are none."""

    batch: Batch
    why: str | None = None


def examples_of(recipe: Recipe, vocabulary: Vocabulary, device: torch.device) -> Examples:
    """The first validation rows of a recipe's task, where they are on this disk."""
    try:
        return Examples(_rows(recipe, vocabulary, device))
    except CompacterError as error:
        return Examples(_random(vocabulary, device), str(error))


def _rows(recipe: Recipe, vocabulary: Vocabulary, device: torch.device) -> Batch:
    from compacter_cli.data.dataset import collated, tokenise
    from compacter_cli.data.sources import load_rows
    from compacter_cli.tasks import task_of

    task, section = task_of(recipe), recipe.data
    splits = load_rows(task, section, offline=True).splits
    rows = task.split.apply(splits, section.seed)["validation"][:ROWS]
    split = tokenise(task, "validation", rows, vocabulary, section)
    return collated(split, range(len(split)), device)


def _random(vocabulary: Vocabulary, device: torch.device) -> Batch:
    """Tokens drawn evenly, the same each time."""
    import torch

    from compacter_cli.t5.batch import collate
    from compacter_cli.t5.vocabulary import UNKNOWN

    generator = torch.Generator().manual_seed(0)
    sources, targets = (
        torch.randint(UNKNOWN, len(vocabulary), (ROWS, length), generator=generator).tolist()
        for length in (RANDOM_SOURCE, RANDOM_TARGET)
    )
    return collate(sources, targets, device)


def logits_of(model: T5Model, batch: Batch) -> Tensor:
    """Logits of a batch's target tokens, one after the other, each after those before it."""
    import torch
    from torch.nn import functional

    from compacter_cli.t5.vocabulary import PAD

    inputs = {
        "encoder_token_ids": batch.source_ids,
        "encoder_padding_mask": batch.source_mask,
        "decoder_token_ids": functional.pad(batch.target_ids[:, :-1], (1, 0), value=PAD),
        "decoder_padding_mask": batch.target_mask,
    }
    with torch.no_grad():
        return model.call(inputs)[batch.target_mask]
