"""Dropout that keeps a bit an element, and the residual that it is added to."""

import torch
from torch.autograd.function import once_differentiable

from compacter_cli.t5.bits import factor_blocks


def drop(x, dropout, site):
    """`x` after the dropout of the place named `site`; `x` itself where `dropout` is `None`."""
    if dropout is None:
        return x
    return Drop.apply(x, dropout.bits(site, x.numel(), x.device), dropout.scale)


def add_dropped(residual, x, dropout, site):
    """`residual + drop(x)`."""
    if dropout is None:
        return residual + x
    return AddDropped.apply(residual, x, dropout.bits(site, x.numel(), x.device), dropout.scale)


def dropped(x, bits, scale):
    """`x * scale` where the packed bit is set, else 0."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    flat, source = out.view(-1), x.reshape(-1)
    for part, factors in factor_blocks(bits, scale, x):
        torch.mul(source[part], factors, out=flat[part])
    return out


class Drop(torch.autograd.Function):
    """`apply(x, bits, scale)`: `dropped`."""

    @staticmethod
    def forward(ctx, x, bits, scale):
        ctx.save_for_backward(bits)
        ctx.scale = scale
        return dropped(x, bits, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return dropped(gradient, *ctx.saved_tensors, ctx.scale), None, None


class AddDropped(torch.autograd.Function):
    """`apply(residual, x, bits, scale)`: `residual + dropped(x, bits, scale)` in one pass."""

    @staticmethod
    def forward(ctx, residual, x, bits, scale):
        ctx.save_for_backward(bits)
        ctx.scale = scale
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        flat, first, second = out.view(-1), residual.reshape(-1), x.reshape(-1)
        for part, factors in factor_blocks(bits, scale, x):
            torch.addcmul(first[part], second[part], factors, out=flat[part])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient, dropped(gradient, *ctx.saved_tensors, ctx.scale), None, None
