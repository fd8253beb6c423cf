"""Padded examples: what a step of the model is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from compacter_cli.t5.vocabulary import PAD

if TYPE_CHECKING:
    import torch

TokenLists: TypeAlias = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Batch:
    """Padded examples: ids int64, masks true on real tokens."""

    source_ids: torch.Tensor  # (B, S)
    source_mask: torch.Tensor  # (B, S)
    target_ids: torch.Tensor  # (B, T)
    target_mask: torch.Tensor  # (B, T)

    @property
    def target_tokens(self) -> int:
        """Real target tokens, end tokens included: what the loss is the mean over."""
        return int(self.target_mask.sum())

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The four tensors in their order."""
        return self.source_ids, self.source_mask, self.target_ids, self.target_mask

    def __len__(self) -> int:
        return len(self.source_ids)


def collate(sources: TokenLists, targets: TokenLists, device: str | torch.device) -> Batch:
    """One `Batch` of token id lists, padded to the longest source and the longest target."""
    source_ids, source_mask = pad(sources, device)
    target_ids, target_mask = pad(targets, device)
    return Batch(source_ids, source_mask, target_ids, target_mask)


def pad(sequences: TokenLists, device: str | torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """`(ids, mask)` of token id lists, (B, longest), padded on the right."""
    import torch

    longest = max(len(ids) for ids in sequences)
    ids = torch.tensor([[*ids, *[PAD] * (longest - len(ids))] for ids in sequences])
    lengths = torch.tensor([len(ids) for ids in sequences])
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    return ids.to(device), mask.to(device)
