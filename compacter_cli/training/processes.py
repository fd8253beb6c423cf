"""The processes that train one run together, as each of them sees them; by itself, one alone.

What they are where there are more than one, by torch.distributed, is in `several.py`; how they
find each other, in `joining.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from compacter_cli.training.signals import Stop

T = TypeVar("T")


class Processes:
    """The processes of a run, seen from one of them; by itself, one alone.

    What all of them do is done by all, in the same order: everything but `share`.

    Attributes:
        rank: which of them this is; 0 is the main one, which writes and tells.
        count: how many there are.
        program: the words that start them.
    """

    rank, count = 0, 1
    program = "compacter"

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def share(self, places: Sequence[T]) -> Sequence[T]:
        """What of `places` is this process's: all are dealt out, one after another."""
        return places[self.rank :: self.count]

    def in_order(self, own: list[T]) -> list[T]:
        """What all have made of their shares, in the order in which they were dealt out."""
        return own

    def sum_(self, tensor: Tensor) -> None:
        """Put the sum of all processes' tensors into each, on whatever device they are."""

    def total(self, number: float) -> float:
        """The sum of all processes' numbers."""
        return number

    def most(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def of_main(self, make: Callable[[], T]) -> T:
        """What `make` gives the main process; the others do not call it."""
        return make()

    def tensors_of_main(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """As `of_main`, of tensors on the CPU, which may be large."""
        return make()

    def agreed(self, stop: Stop) -> Stop:
        """A `Stop` that is true for all as soon as one of them was told to."""
        return stop

    def wait(self) -> None:
        """Wait until all are here."""

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """What one process of every machine does before its others do: they find it done."""
        yield


ALONE = Processes()
