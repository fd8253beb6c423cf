"""Training passes captured as CUDA graphs: the host starts one instead of thousands of kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.batch import Batch
from compacter_cli.t5.dropout import generator_of, seed_device

if TYPE_CHECKING:
    from compacter_cli.t5.model import T5Model

Lengths: TypeAlias = tuple[int, int, int]  # rows, source and target tokens
Key: TypeAlias = Sequence[int]

CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_
MOST_GRAPHS = 16  # lengths beyond these are computed kernel by kernel


@dataclass(frozen=True)
class _Graph:
    """A captured pass: `graph` reads `batch` and `tokens`, adds to the gradients, sets `loss`."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    tokens: Tensor
    loss: Tensor


class GraphedPasses:
    """Forward and backward passes of a model on a GPU, each added to its weights' gradients.

    The first batch of some lengths is computed kernel by kernel, which also prepares what must not
    be prepared during a capture; the second is captured, and that and all later ones are replayed.
    The results are the same, dropout's draws included. All graphs share one memory, as large as the
    largest pass. A pass without a graph takes its own beside it; where there is none left, graphs
    give way: `make_room`.

    Args:
        model: of an execution that never waits for the device within a pass.
        parameters: what the model trains.
    """

    def __init__(self, model: T5Model, parameters: Sequence[Tensor]) -> None:
        self._model, self._parameters = model, parameters
        sizes = [parameter.numel() for parameter in parameters]
        self._flat = torch.zeros(sum(sizes), device=model.device)
        self._gradients = self._flat.split(sizes)
        self._seen: set[Lengths] = set()
        self._graphs: dict[Lengths, _Graph] = {}
        self._most = MOST_GRAPHS
        self._too_large: set[Lengths] = set()
        self._made_room = False
        self._stream = torch.cuda.Stream(model.device)

    def clear(self) -> None:
        """Set all gradients to 0, in the tensors that the graphs add to."""
        self._flat.zero_()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)

    def combine(self, sum_: Callable[[Tensor], None]) -> None:
        """Have `sum_` put into the whole gradient, as one flat tensor, what others add to it."""
        sum_(self._flat)

    def clip(self, largest: float) -> Tensor:
        """The norm of the whole gradient, which is scaled down to `largest` where it is longer."""
        norm = torch.linalg.vector_norm(self._flat)
        self._flat.mul_((largest / (norm + CLIP_EPSILON)).clamp(max=1.0))
        return norm

    def run(self, batch: Batch, key: Key, tokens: int) -> Tensor:
        """The batch's summed loss over `tokens`, its gradient added; `key` decides dropout.

        The loss is to be read before the next batch is run: graphs write theirs to the same place.
        """
        batch = self._model.sized(batch)
        lengths = (len(batch), batch.source_ids.shape[1], batch.target_ids.shape[1])
        if lengths in self._seen and lengths not in self._graphs:
            self._try_to_capture(batch, lengths)
        if graph := self._graphs.get(lengths):
            return self._replay(graph, batch, key, tokens)
        with self._capturing_stream():
            loss = self._pass(batch, tokens, key)
        self._seen.add(lengths)
        return loss

    def release(self) -> None:
        """Give back the graphs and their memory; lengths are captured anew when they come again."""
        self._graphs.clear()
        self._seen.clear()
        self._too_large.clear()

    def make_room(self) -> bool:
        """Give back the graphs, after a pass beside them found no memory: whether there were any.

        They are captured again as their lengths come, but for the second time that this happens:
        from then on there are none.
        """
        if not self._graphs:
            return False
        self._graphs.clear()
        torch.cuda.empty_cache()
        if self._made_room:
            self._give_up("the memory does not hold them and a pass of another length")
        self._made_room = True
        return True

    def _pass(self, batch: Batch, tokens: int | Tensor, key: Key = ()) -> Tensor:
        loss = self._model.summed_loss(batch, training=True, key=key) / tokens
        loss.backward()
        return loss.detach()

    def _try_to_capture(self, batch: Batch, lengths: Lengths) -> None:
        """Capture a pass over batches of these lengths, unless there are too many or it fails."""
        if len(self._graphs) >= self._most or lengths in self._too_large:
            return
        device = self._model.device
        generator = generator_of(device)
        before = generator.clone_state()
        torch.cuda.empty_cache()  # a capture cannot take over what passes without a graph leave
        try:
            # A capture that fails leaves its stream the current one: this puts ours back.
            with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
                self._graphs[lengths] = self._capture(batch)
        except RuntimeError as error:
            # It also leaves the generator as in a capture. Graphs draw from the one they were
            # captured with, so those that there are go with it.
            generator.graphsafe_set_state(before)
            self._graphs.clear()
            cause = error.__context__ or error
            if isinstance(cause, torch.OutOfMemoryError):
                self._too_large.add(lengths)
            else:
                self._give_up(str(cause).partition("\n")[0])

    def _give_up(self, why: str) -> None:
        """Go on without graphs."""
        self._most = 0
        warnings.warn(
            "training passes cannot be captured as CUDA graphs here, so their kernels are started "
            f"one by one, which is slower: {why}",
            RuntimeWarning,
            stacklevel=2,
        )

    def _capture(self, batch: Batch) -> _Graph:
        static = Batch(*(tensor.clone() for tensor in batch.tensors()))
        tokens = torch.ones((), device=self._model.device)
        graph = torch.cuda.CUDAGraph()
        others = next(iter(self._graphs.values()), None)
        # One memory for all: no two are at work at once, and a loss is read before the next.
        pool = others.graph.pool() if others else None
        with torch.cuda.graph(graph, pool=pool, stream=self._stream):
            loss = self._pass(static, tokens)
        return _Graph(graph, static, tokens, loss)

    def _replay(self, graph: _Graph, batch: Batch, key: Key, tokens: int) -> Tensor:
        for static, tensor in zip(graph.batch.tensors(), batch.tensors(), strict=True):
            static.copy_(tensor)
        graph.tokens.fill_(tokens)
        seed_device(self._model.device, key)
        graph.graph.replay()
        return graph.loss

    @contextmanager
    def _capturing_stream(self) -> Iterator[None]:
        """Work on the stream of the captures.

        What autograd adds gradients by, and what cuBLAS works in, belong to the stream on which
        they are first used; a capture must meet none of another's.
        """
        current = torch.cuda.current_stream(self._model.device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)


def can_be_captured(model: T5Model) -> bool:
    """Whether a model's training passes may be captured as CUDA graphs."""
    return model.execution == "fused" and model.device.type == "cuda" and not model.remat
