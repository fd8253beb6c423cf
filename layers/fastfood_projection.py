"""Random linear projections from a small space into a weight tensor's, by Fastfood."""

import math
import zlib
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import torch
from compacter_layers.checks import check_positive

DRAW_VERSION = 1  # of the rule by which constants follow from a seed; saved files depend on it


@keras.saving.register_keras_serializable(package="compacter")
class FastfoodProjection(keras.layers.Layer):
    """A fixed random linear map from d' to D dimensions in O(D log D) (paper, section 5.1 [32]).

    With LL the smallest power of two that holds D, the vector is padded with zeros to LL (or cut
    to its first LL entries), multiplied by H G P H B and cut to its first D entries, then divided
    by sqrt(LL * sum(G^2)) * sqrt(D / LL). H is the unnormalised Hadamard matrix, B are signs, P a
    permutation, G standard normal. Nothing trains and nothing is saved: the constants are drawn
    on the CPU from `seed` and `tag` by a fixed rule. Torch backend alone.

    Args:
        size: Number D of output entries.
        seed: Seed of the constants.
        tag: Tells apart projections of one seed, such as the name of the weight tensor.

    Attributes:
        padded: LL.

    Input shape: `(d',)`. Output shape: `(D,)`.

    Raises:
        ValueError: `size` is not a positive integer.

    Examples:
        >>> FastfoodProjection(512 * 64, seed=1)(keras.ops.ones((100,))).shape
        (32768,)
    """

    _constants: tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # signs, permutation, normals

    def __init__(self, size: int, seed: int, tag: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive("size", size)
        self.size = size
        self.seed = seed
        self.tag = tag
        self.padded = 1 << (size - 1).bit_length()

    def build(self, input_shape: tuple[int]) -> None:
        dimension = input_shape[0]
        padded = self.padded
        signs, permutation, gauss = draw_constants(padded, self.seed, self.tag)
        # H of a vector padded with zeros repeats the H of its beginning, so the permuted entries
        # are gathered from a table as small as the vector's own power of two.
        table = min(1 << (dimension - 1).bit_length(), padded)
        used = min(dimension, padded)
        norm = math.sqrt(self.size * float(np.square(gauss, dtype=np.float64).sum()))
        index_type = np.int16 if table <= 1 << 15 else np.int32
        self._table = table
        self._constants = (
            torch.from_numpy(signs[:used].astype(np.float32)),
            torch.from_numpy((permutation % table).astype(index_type)),
            torch.from_numpy((gauss / norm).astype(np.float32)),
        )
        self.built = True

    def call(self, inputs: torch.Tensor) -> torch.Tensor:
        signs, permutation, gauss = self._constants
        if signs.device != (device := inputs.device):  # drawn on the CPU, moved once
            self._constants = signs.to(device), permutation.to(device), gauss.to(device)
        return _Fastfood.apply(inputs, *self._constants, self._table, self.size)

    def compute_output_shape(self, input_shape: tuple[int]) -> tuple[int]:
        return (self.size,)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"size": self.size, "seed": self.seed, "tag": self.tag})
        return config


def draw_constants(padded: int, seed: int, tag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(signs, permutation, gauss)` of length `padded`, by the rule of `DRAW_VERSION`.

    numpy's RandomState, whose stream numpy has frozen: every machine and version draws the same.
    """
    key = zlib.crc32(f"fastfood-{DRAW_VERSION}/{seed}/{tag}".encode())
    draw = np.random.RandomState(key)
    signs = draw.randint(0, 2, padded, dtype=np.int8) * 2 - 1
    return signs, draw.permutation(padded), draw.standard_normal(padded)


class _Fastfood(torch.autograd.Function):
    """H G P H B and its transpose; the backward needs the constants alone."""

    @staticmethod
    def forward(
        ctx: Any,
        vector: torch.Tensor,
        signs: torch.Tensor,
        index: torch.Tensor,
        gauss: torch.Tensor,
        table: int,
        size: int,
    ) -> torch.Tensor:
        ctx.constants = (signs, index, gauss, table)
        ctx.shape = vector.shape
        start = vector.new_zeros(table)
        start[: len(signs)] = vector[: len(signs)] * signs
        mixed = hadamard(start)[index.int()] * gauss
        return hadamard(mixed)[:size].contiguous()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = grad_outputs
        signs, index, gauss, table = ctx.constants
        padded = gradient.new_zeros(len(gauss))
        padded[: len(gradient)] = gradient
        mixed = hadamard(padded) * gauss
        gathered = mixed.new_zeros(table).index_add_(0, index.int(), mixed)
        result = gradient.new_zeros(ctx.shape)
        result[: len(signs)] = hadamard(gathered)[: len(signs)] * signs
        return result, None, None, None, None, None


def hadamard(vector: torch.Tensor) -> torch.Tensor:
    """The unnormalised Walsh-Hadamard transform of a vector whose length is a power of two.

    H of 2^(a+b) is the Kronecker product of H of 2^a and 2^b: a few products with small matrices
    instead of log2 passes.
    """
    bits = len(vector).bit_length() - 1
    if bits == 0:
        return vector
    x, behind = vector, 1  # length of the axes behind the one that is transformed
    for part in _near_equal_parts(bits):
        matrix = _hadamard_matrix(part, vector.dtype, vector.device)
        if behind == 1:
            x = x.reshape(-1, 1 << part) @ matrix
        else:  # the matrix is symmetric; from the left nothing needs to be turned over
            x = matrix @ x.view(-1, 1 << part, behind)
        behind <<= part
    return x.view(-1)


def _near_equal_parts(bits: int, largest: int = 6) -> list[int]:
    count = -(-bits // largest)
    return [bits // count + (i < bits % count) for i in range(count)]


@lru_cache  # made anew it would be copied to a GPU each time, which waits for all before it
def _hadamard_matrix(bits: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    matrix = torch.ones(1, 1, dtype=dtype, device=device)
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=dtype, device=device)
    for _ in range(bits):
        matrix = torch.kron(two, matrix)
    return matrix
