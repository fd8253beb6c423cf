"""Which elements dropout keeps: one stream a forward pass, cut into places in the order of use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import SFC64
from torch import Tensor

from compacter_cli.t5.bits import factors, pack

LEVELS = 1 << 16  # a draw is one of so many, so a rate is kept to half of 1 / 65536
CHUNK = 1 << 17  # draws at once on a CPU: they stay in its cache


class Dropout:
    """Dropout in one training pass.

    A key decides one stream of draws, and every place takes the next part of it: a draw for each
    of its real elements, padding left out, in the order of rows, filled up to whole bytes of bits.
    The lean and the reference execution come to the places in the same order, so they drop the same
    elements; the fused one draws otherwise, and takes rate and scale from here. A place that is
    come to again, where a block runs a second time, has what it had.

    The stream is numpy's SFC64 on a CPU and torch's generator elsewhere: see `stream_of`.

    Args:
        rate: share of the elements that become 0, between 0 and 1.
        key: whole numbers, 0 or more, that decide all draws: of a trainer (seed, update,
            micro-batch, rank).
    """

    def __init__(self, rate: float, *key: int) -> None:
        self.rate, self.key = rate, key
        self._streams: dict[str, _Stream] = {}

    @property
    def scale(self) -> float:
        """Factor on what is kept: the reciprocal of its exact share."""
        return LEVELS / (LEVELS - self.dropped_levels)

    @property
    def dropped_levels(self) -> int:
        """Of the `LEVELS` that a draw can have, how many drop an element."""
        return min(round(self.rate * LEVELS), LEVELS - 1)

    def bits(self, site: str, count: int, device: str | torch.device) -> Tensor:
        """A packed bit for each of `count` elements of the place named `site`: set if kept."""
        name = str(device)
        stream = self._streams.get(name)
        if stream is None:
            kind = _CpuStream if name == "cpu" else _DeviceStream
            stream = self._streams[name] = kind(self.key, device)
        return stream.bits(site, -(-count // 8), self.dropped_levels - LEVELS // 2)

    def factors(self, site: str, count: int, device: str | torch.device) -> Tensor:
        """Factor of each of `count` elements, float32: 0 or `scale`."""
        return factors(self.bits(site, count, device), self.scale, torch.float32, stop=count)


def stream_of(device: torch.device) -> str:
    """Which stream `Dropout` draws from on a device: a run that goes on must draw the same one."""
    return "sfc64" if device.type == "cpu" else "torch"


def seed_device(device: torch.device, key: Sequence[int]) -> None:
    """Have torch's global generator of a device begin the stream that a key decides."""
    generator_of(device).manual_seed(_seed_of(key))


def generator_of(device: torch.device) -> torch.Generator:
    """torch's global generator of a CPU or a CUDA device."""
    if device.type != "cuda":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def _seed_of(key: Sequence[int]) -> int:
    (seed,) = np.random.SeedSequence(list(key)).generate_state(1, np.uint64)
    return int(seed >> np.uint64(1))


class _Stream(ABC):
    """What a generator draws, place after place; come to again, a place has what it had."""

    def __init__(self) -> None:
        self._begun: dict[str, Any] = {}  # the generator's state before each place

    def bits(self, site: str, size: int, lowest_kept: int) -> Tensor:
        """The bits of a place in `size` bytes; kept is what is drawn from `lowest_kept` on."""
        begun = self._begun.get(site)
        if begun is None:
            self._begun[site] = self._state()
            return self._draw(size, lowest_kept)
        now = self._state()
        self._go_to(begun)
        bits = self._draw(size, lowest_kept)
        self._go_to(now)
        return bits

    @abstractmethod
    def _state(self) -> Any: ...

    @abstractmethod
    def _go_to(self, state: Any) -> None: ...

    @abstractmethod
    def _draw(self, size: int, lowest_kept: int) -> Tensor: ...


class _CpuStream(_Stream):
    """Draws of numpy's SFC64, four to a number: three times as fast as torch's own."""

    def __init__(self, key: tuple[int, ...], device: object) -> None:
        super().__init__()
        self._generator = SFC64(key)

    def _state(self) -> Any:
        return self._generator.state

    def _go_to(self, state: Any) -> None:
        self._generator.state = state

    def _draw(self, size: int, lowest_kept: int) -> Tensor:
        step = CHUNK // 8
        if size <= step:
            return torch.from_numpy(self._part(size, lowest_kept))
        bits = np.empty(size, dtype=np.uint8)
        for start in range(0, size, step):
            stop = min(start + step, size)
            bits[start:stop] = self._part(stop - start, lowest_kept)
        return torch.from_numpy(bits)

    def _part(self, size: int, lowest_kept: int) -> np.ndarray:
        draws: np.ndarray = self._generator.random_raw(2 * size).view(np.int16)
        return np.packbits(draws >= lowest_kept, bitorder="little")


class _DeviceStream(_Stream):
    """Draws of torch's generator on a device, a place at once."""

    def __init__(self, key: tuple[int, ...], device: str | torch.device) -> None:
        super().__init__()
        self._device = device
        self._generator = torch.Generator(device)
        self._generator.manual_seed(_seed_of(key))

    def _state(self) -> Any:
        return self._generator.get_state()

    def _go_to(self, state: Any) -> None:
        self._generator.set_state(state)

    def _draw(self, size: int, lowest_kept: int) -> Tensor:
        draws = torch.empty(2 * size, dtype=torch.int64, device=self._device)
        draws.random_(-(1 << 63), None, generator=self._generator)
        return pack(draws.view(torch.int16) >= lowest_kept)
