"""The next update's examples, brought to the device while it computes the one before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from compacter_cli.t5.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from compacter_cli.training.trainer import Group


@dataclass
class Ahead:
    """The `Group` of every update, of which one may be prepared before it is asked for.

    Nothing is kept that a saved state would lack: a group hangs on its number alone, and one that
    was prepared for another number than is asked for is dropped.

    Args:
        batches: the `Group` of an update, on the host.
        device: torch device name of where they are used.
        updates: of the whole training; nothing is prepared for later ones.
    """

    batches: Callable[[int], Group]
    device: str
    updates: int
    _next: tuple[int, Group] | None = field(default=None, init=False)
    _stream: torch.cuda.Stream | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        import torch

        if torch.device(self.device).type == "cuda":
            self._stream = torch.cuda.Stream(self.device)

    def __call__(self, update: int) -> Group:
        self.prepare(update)
        assert self._next is not None  # as `prepare` leaves it
        (_, group), self._next = self._next, None
        if self._stream is not None:
            _use_here(group, self._stream)
        return group

    def prepare(self, update: int) -> None:
        """Make the group of an update, and begin to copy it; the copy is not waited for."""
        if update < self.updates and (self._next is None or self._next[0] != update):
            self._next = update, self._copied(self.batches(update))

    def _copied(self, group: Group) -> Group:
        import torch

        with torch.cuda.stream(self._stream):  # `None` is none
            return replace(group, batches=[self._on_device(batch) for batch in group.batches])

    def _on_device(self, batch: Batch) -> Batch:
        tensors = batch.tensors()
        if self._stream is not None:  # from other memory a copy is waited for
            tensors = [tensor.pin_memory() for tensor in tensors]
        return Batch(*(tensor.to(self.device, non_blocking=True) for tensor in tensors))


def _use_here(group: Group, copied_on: torch.cuda.Stream) -> None:
    """Have the current stream wait for what was copied on another, and keep it while it is used."""
    import torch

    current = torch.cuda.current_stream(copied_on.device)
    current.wait_stream(copied_on)
    for batch in group.batches:
        for tensor in batch.tensors():
            tensor.record_stream(current)
