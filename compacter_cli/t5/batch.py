"""Padded examples: what a step of the model is computed on."""

from dataclasses import dataclass

from compacter_cli.t5.vocabulary import PAD


@dataclass(frozen=True)
class Batch:
    """Padded examples as torch tensors: ids int64, masks true on real tokens."""

    source_ids: object  # (B, S)
    source_mask: object  # (B, S)
    target_ids: object  # (B, T)
    target_mask: object  # (B, T)

    @property
    def target_tokens(self):
        """Real target tokens, end tokens included: what the loss is the mean over."""
        return int(self.target_mask.sum())

    def __len__(self):
        return len(self.source_ids)


def collate(sources, targets, device):
    """One `Batch` of token id lists, padded to the longest source and the longest target."""
    source_ids, source_mask = pad(sources, device)
    target_ids, target_mask = pad(targets, device)
    return Batch(source_ids, source_mask, target_ids, target_mask)


def pad(sequences, device):
    """`(ids, mask)` of token id lists, (B, longest), padded on the right."""
    import torch

    longest = max(len(ids) for ids in sequences)
    ids = torch.tensor([[*ids, *[PAD] * (longest - len(ids))] for ids in sequences])
    lengths = torch.tensor([len(ids) for ids in sequences])
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    return ids.to(device), mask.to(device)
