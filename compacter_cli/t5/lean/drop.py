"""Dropout that keeps a bit an element, and the residual that it is added to."""

import torch
from torch import Tensor

from compacter_cli.t5.bits import BLOCK, exact, factor_blocks, factors
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable


def drop(x: Tensor, dropout: Dropout | None, site: str) -> Tensor:
    """`x` after the dropout of the place named `site`; `x` itself where `dropout` is `None`."""
    if dropout is None:
        return x
    return Drop.apply(x, dropout.bits(site, x.numel(), x.device), dropout.scale)


def add_dropped(residual: Tensor, x: Tensor, dropout: Dropout | None, site: str) -> Tensor:
    """`residual + drop(x)`."""
    if dropout is None:
        return residual + x
    return AddDropped.apply(residual, x, dropout.bits(site, x.numel(), x.device), dropout.scale)


def dropped(x: Tensor, bits: Tensor, scale: float) -> Tensor:
    """`x * scale` where the packed bit is set, else 0."""
    if x.numel() <= BLOCK:
        return (x * factors(bits, scale, exact(x.dtype), stop=x.numel()).view(x.shape)).to(x.dtype)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for factor, source, target in factor_blocks(bits, scale, x, out):
        torch.mul(source, factor, out=target)
    return out


class Drop(torch.autograd.Function):
    """`apply(x, bits, scale)`: `dropped`."""

    @staticmethod
    def forward(ctx: FunctionContext, x: Tensor, bits: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(bits)
        ctx.scale = scale
        return dropped(x, bits, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (bits,) = ctx.saved_tensors
        return dropped(gradient, bits, ctx.scale), None, None


class AddDropped(torch.autograd.Function):
    """`apply(residual, x, bits, scale)`: `residual + dropped(x, bits, scale)` in one pass."""

    @staticmethod
    def forward(
        ctx: FunctionContext, residual: Tensor, x: Tensor, bits: Tensor, scale: float
    ) -> Tensor:
        ctx.save_for_backward(bits)
        ctx.scale = scale
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for factor, *given, target in factor_blocks(bits, scale, residual, x, out):
            torch.addcmul(given[0], given[1], factor, out=target)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (bits,) = ctx.saved_tensors
        return gradient, dropped(gradient, bits, ctx.scale), None, None
