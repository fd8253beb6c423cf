"""The tensors that autograd keeps for the backward pass, counted by storage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from torch import Tensor


def live_storages() -> dict[int, int]:
    """Bytes of every tensor storage that Python reaches now, by address.

    Before a step these are weights, constants, optimizer state and the batch.
    """
    import torch

    gc.collect()  # what waits to be collected is not there for long
    found: dict[int, int] = {}
    for thing in gc.get_objects():
        # Not isinstance: it would ask lazy modules for their class, and load them.
        if issubclass(type(thing), torch.Tensor) and thing.layout == torch.strided:
            _note(thing, found)
    return found


@dataclass
class Saved:
    """Storages kept for backward: their bytes by address."""

    storages: dict[int, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(self.storages.values())


@contextmanager
def saved_tensors(known: Container[int]) -> Iterator[Saved]:
    """Count what a forward pass inside keeps for backward; yields a `Saved`.

    A storage counts once however many views of it are kept, and not at all if it is in `known`.
    An autograd function of one's own shows what it gave to `save_for_backward`.

    Args:
        known: addresses of storages that are there anyway, as `live_storages` gives them.
    """
    import torch

    saved = Saved()

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            _note(tensor, saved.storages)
        return tensor.detach()  # a result that its own function keeps would hold itself, for ever

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


def _note(tensor: Tensor, found: dict[int, int]) -> None:
    storage = tensor.untyped_storage()
    if storage.nbytes():
        found[storage.data_ptr()] = storage.nbytes()
