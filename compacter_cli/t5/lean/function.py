"""What the autograd functions here have in common, said so that a type checker follows it."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.autograd import function

Gradients = TypeVar("Gradients")


class FunctionContext(Protocol):
    """What a function's `forward` leaves for its `backward`, which torch declares only in part.

    Attributes:
        saved_tensors: what was given to `save_for_backward`; each a tensor, or `None`.
        needs_input_grad: whether each input of `forward` has to get a gradient.
        scale: dropout's factor on what is kept, where the function drops.
    """

    saved_tensors: tuple[Any, ...]
    needs_input_grad: tuple[bool, ...]
    scale: float

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors, some of which may be `None`."""
        ...


def once_differentiable(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """torch's decorator of that name, for a `backward` that names the gradients it is given.

    torch's own makes the context positional, which `Function.backward` does not let a subclass do.
    """
    return function.once_differentiable(backward)
