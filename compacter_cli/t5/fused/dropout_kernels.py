"""Dropout in one Triton kernel each way: nothing is kept of it, behind a relu one bit an element.

    G groups of 8 elements: one draw of philox is 128 bits, 16 for each of them, and one byte holds
    what is kept

Which elements are dropped follows from a seed on the device, the number of the place and the
element's own: the backward pass draws them again. The host knows no seed, so that a pass captured
as a CUDA graph drops others in each replay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.fused.draw import Draw
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable

# By name: it comes with torch for a GPU alone, and types of it are nowhere needed.
triton = import_module("triton")
tl = import_module("triton.language")

# What annotates a kernel's parameters: Triton looks these names up, and knows what is compiled in
# by the last of them.
if TYPE_CHECKING:
    Pointer: TypeAlias = Any
    Block: TypeAlias = Any
    constexpr: TypeAlias = int
else:
    Pointer = Block = tl.tensor
    constexpr = tl.constexpr

GROUPS = 128  # of a program
MOST_ELEMENTS = 2**31 - 8 * GROUPS  # they are counted in 32 bits


@triton.jit
def _is_dropped(seed: Pointer, place: int, groups: Block, dropped: int, G: constexpr) -> Block:
    """Of the elements of `groups` (G,): (G, 8)."""
    none = groups * 0
    a, b, c, d = tl.philox(tl.load(seed), groups, none + place, none, none)
    words = tl.reshape(tl.join(tl.join(a, b), tl.join(c, d)), (G, 4))
    draws = tl.reshape(tl.join(words & 0xFFFF, words >> 16), (G, 8))
    return draws.to(tl.int32) < dropped


@triton.jit
def _own_elements(G: constexpr) -> tuple[Block, Block]:
    """The groups (G,) of a program, and their elements (G, 8)."""
    groups = tl.program_id(0) * G + tl.arange(0, G)
    return groups, groups[:, None] * 8 + tl.arange(0, 8)[None, :]


@triton.jit(do_not_specialize=["place", "dropped"])
def _drop(
    x: Pointer,
    residual: Pointer,
    y: Pointer,
    seed: Pointer,
    place: int,
    dropped: int,
    scale: float,
    n: int,
    ADDS: constexpr,
    G: constexpr,
) -> None:
    """`y = drop(x)`, with `ADDS` `residual + drop(x)`, each of `n` elements."""
    groups, elements = _own_elements(G)
    value = tl.load(x + elements, elements < n).to(tl.float32) * scale
    value = tl.where(_is_dropped(seed, place, groups, dropped, G), 0.0, value)
    if ADDS:
        value += tl.load(residual + elements, elements < n).to(tl.float32)
    tl.store(y + elements, value.to(y.dtype.element_ty), elements < n)


@triton.jit(do_not_specialize=["place", "dropped"])
def _relu_drop(
    x: Pointer,
    y: Pointer,
    bits: Pointer,
    seed: Pointer,
    place: int,
    dropped: int,
    scale: float,
    n: int,
    DROPS: constexpr,
    PACKS: constexpr,
    G: constexpr,
) -> None:
    """`y = drop(relu(x))`, with `PACKS` a bit of each of the `n` elements: whether it passes."""
    groups, elements = _own_elements(G)
    value = tl.load(x + elements, elements < n, other=0.0).to(tl.float32)
    stopped = value <= 0  # what is not a number passes, as it does elsewhere
    if DROPS:
        stopped = stopped | _is_dropped(seed, place, groups, dropped, G)
    value = tl.where(stopped, 0.0, value * scale)
    tl.store(y + elements, value.to(y.dtype.element_ty), elements < n)
    if PACKS:
        passing = tl.where(stopped, 0, 1) << tl.arange(0, 8)[None, :]
        tl.store(bits + groups, tl.sum(passing, 1).to(tl.uint8), groups * 8 < n)


@triton.jit
def _relu_drop_backward(
    gradient: Pointer,
    kept: Pointer,
    dx: Pointer,
    scale: float,
    n: int,
    PACKED: constexpr,
    G: constexpr,
) -> None:
    """`dx` by the bits that `_relu_drop` packed, or by its result, not 0 where it passed."""
    groups, elements = _own_elements(G)
    if PACKED:
        bits = tl.load(kept + groups, groups * 8 < n).to(tl.int32)
        passes = (bits[:, None] >> tl.arange(0, 8)[None, :] & 1) != 0
    else:
        passes = tl.load(kept + elements, elements < n) != 0
    value = tl.load(gradient + elements, elements < n).to(tl.float32) * scale
    value = tl.where(passes, value, 0.0)
    tl.store(dx + elements, value.to(dx.dtype.element_ty), elements < n)


def dropped(x: Tensor, residual: Tensor | None, draw: Draw) -> Tensor:
    """`drop(x)`, with a `residual` `residual + drop(x)`, rounded once."""
    x = x.contiguous()
    y = torch.empty_like(x)
    if residual is not None:
        residual = residual.contiguous()
    with torch.cuda.device_of(x):
        _drop[_programs(x)](
            x,
            y if residual is None else residual,
            y,
            *draw,
            x.numel(),
            residual is not None,
            GROUPS,
        )
    return y


class _DropContext(FunctionContext, Protocol):
    draw: Draw


class Drop(torch.autograd.Function):
    """`apply(x, draw)`: dropout, of which nothing is kept."""

    @staticmethod
    def forward(ctx: _DropContext, x: Tensor, draw: Draw) -> Tensor:
        ctx.draw = draw
        return dropped(x, None, draw)

    @staticmethod
    @once_differentiable
    def backward(ctx: _DropContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return dropped(gradient, None, ctx.draw), None


class AddDropped(torch.autograd.Function):
    """`apply(residual, x, draw)`: `residual + drop(x)`, of which nothing is kept."""

    @staticmethod
    def forward(ctx: _DropContext, residual: Tensor, x: Tensor, draw: Draw) -> Tensor:
        ctx.draw = draw
        return dropped(x, residual, draw)

    @staticmethod
    @once_differentiable
    def backward(ctx: _DropContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        dx = dropped(gradient, None, ctx.draw) if ctx.needs_input_grad[1] else None
        return gradient, dx, None


class _ReluContext(FunctionContext, Protocol):
    packed: bool


class ReluDrop(torch.autograd.Function):
    """`drop(relu(x))`.

    `apply(x, draw, keep)`, `draw` `None` where nothing is dropped: a bit an element is kept,
    whether it passes; with `keep` the result itself, which a product whose weight trains keeps
    anyway.
    """

    @staticmethod
    def forward(ctx: _ReluContext, x: Tensor, draw: Draw | None, keep: bool) -> Tensor:
        x = x.contiguous()
        y, bits = torch.empty_like(x), None
        ctx.packed = ctx.needs_input_grad[0] and not keep
        if ctx.packed:
            bits = torch.empty(-(-x.numel() // 8), dtype=torch.uint8, device=x.device)
        chosen = draw or Draw(y, 0, 0, 1.0)  # of which nothing is read
        with torch.cuda.device_of(x):
            _relu_drop[_programs(x)](
                x,
                y,
                y if bits is None else bits,
                *chosen,
                x.numel(),
                draw is not None,
                ctx.packed,
                GROUPS,
            )
        ctx.scale = chosen.scale
        ctx.save_for_backward(bits if ctx.packed else y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: _ReluContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        dx = torch.empty_like(gradient)
        with torch.cuda.device_of(gradient):
            _relu_drop_backward[_programs(dx)](
                gradient, kept, dx, ctx.scale, dx.numel(), ctx.packed, GROUPS
            )
        return dx, None, None


def _programs(x: Tensor) -> tuple[int]:
    return (-(-x.numel() // (8 * GROUPS)),)
