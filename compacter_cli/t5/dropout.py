"""Which elements dropout keeps: drawn from the seed of a step and the name of the place."""

import zlib
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from compacter_cli.t5.bits import factors, pack

LEVELS = 1 << 16  # a draw is one of so many, so a rate is kept to half of 1 / 65536
CHUNK = 1 << 18  # draws at once on a CPU: they stay in its cache


@dataclass(frozen=True)
class Dropout:
    """Dropout in one training step.

    Every place draws a stream of its own over its real elements, padding left out, in the order of
    rows: both ways of execution drop the same ones, in whatever order they come to them.

    Attributes:
        rate: share of the elements that become 0, between 0 and 1.
        seed: of the step.
    """

    rate: float
    seed: int

    @classmethod
    def drawn(cls, rate: float) -> Self:
        """Dropout with the next seed of torch's global generator."""
        return cls(rate, int(torch.randint(1 << 62, (), device="cpu")))

    @property
    def scale(self) -> float:
        """Factor on what is kept: the reciprocal of its exact share."""
        return LEVELS / (LEVELS - self._dropped_levels)

    @property
    def _dropped_levels(self) -> int:
        return min(round(self.rate * LEVELS), LEVELS - 1)

    def bits(self, site: str, count: int, device: str | torch.device) -> Tensor:
        """A packed bit for each of `count` elements of the place named `site`: set if kept."""
        generator = torch.Generator(device)
        generator.manual_seed(zlib.crc32(f"{self.seed}/{site}".encode()))
        lowest_kept = self._dropped_levels - LEVELS // 2
        chunk = CHUNK if generator.device.type == "cpu" else max(count, 1)
        bits = torch.empty(-(-count // 8), dtype=torch.uint8, device=device)
        for part in bits.split(-(-chunk // 8)):
            draws = torch.empty(2 * len(part), dtype=torch.int64, device=device)
            draws.random_(-(1 << 63), None, generator=generator)  # four draws a number
            part.copy_(pack(draws.view(torch.int16) >= lowest_kept))
        return bits

    def factors(self, site: str, count: int, device: str | torch.device) -> Tensor:
        """Factor of each of `count` elements, float32: 0 or `scale`."""
        return factors(self.bits(site, count, device), self.scale, torch.float32, stop=count)
