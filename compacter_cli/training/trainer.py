"""One optimizer step after another, each decided by its number: what all training runs on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from compacter_cli.errors import CompacterError, NotFiniteError, excerpt
from compacter_cli.training.memory import is_out_of_memory
from compacter_cli.training.passes import passes_for
from compacter_cli.training.processes import ALONE, Processes
from compacter_cli.training.records import UpdateLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.model import T5Model

WEIGHT = "weight"  # beside the optimizer's own names of what it keeps for one
_MOST_NAMED = 20  # examples in an error


@dataclass(frozen=True)
class Group:
    """What one update is taken over.

    Attributes:
        batches: of one forward pass each, their gradients summed; this process's part of them.
        epoch: which time the examples are gone through, from 1.
        examples: their places in the training split, where that is known; all processes'.
        tokens: real target tokens of all processes' batches; those of `batches` if left out.
    """

    batches: Sequence[Batch]
    epoch: int = 1
    examples: Sequence[int] = ()
    tokens: int | None = None

    @property
    def target_tokens(self) -> int:
        """Real target tokens, all processes': what the loss is the mean over."""
        if self.tokens is not None:
            return self.tokens
        return sum(batch.target_tokens for batch in self.batches)


@dataclass(frozen=True)
class Update:
    """One optimizer step: counted from 1, with the mean loss of its examples before it.

    `skipped` tells that loss or gradient were not finite, so nothing was changed.
    """

    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    skipped: bool = False

    def record(self) -> UpdateLine:
        """The line of metrics.jsonl."""
        line: UpdateLine = {
            "kind": "update",
            "step": self.step,
            "epoch": self.epoch,
            "loss": _finite(self.loss),
            "learning_rate": self.learning_rate,
            "gradient_norm": _finite(self.gradient_norm),
        }
        if self.skipped:
            line["skipped"] = True
        return line


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no other numbers


class State(NamedTuple):
    """All that a trainer needs to go on: updates done, and tensors by `kind/structural name`."""

    update: int
    tensors: dict[str, Tensor]


@dataclass
class Trainer:
    """A model in training: its weights, its optimizer, and how far it is.

    What an update does hangs on nothing but its number and the state: dropout is drawn from
    (seed, update, micro-batch, rank), the rate and the examples are functions of the number. So
    one that is restored goes on as if it had never stopped.

    Args:
        model: exactly its trained weights change.
        optimizer: over these.
        schedule: learning rate of an update, 0 the first.
        batches: the `Group` of an update, 0 the first.
        seed: of dropout.
        clip_norm: largest norm of an update's gradient.
        processes: of which this is one, each with examples of its own; dropout hangs on which.
        skip: whether an update that is not finite is left out, instead of an error.
        prepare: called with the number of the next update once the device has been given all of
            one, before it is waited for.

    Attributes:
        update: updates done.
    """

    model: T5Model
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    batches: Callable[[int], Group]
    seed: int
    clip_norm: float
    processes: Processes = ALONE
    skip: bool = False
    prepare: Callable[[int], None] | None = None
    update: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._weights = self.model.trained_tensors()
        self._parameters = list(self._weights.values())
        self._passes = passes_for(self.model, self._parameters)

    def step(self, group: Group | None = None) -> Update:
        """The next update, over `group`, or over the next of its batches.

        Raises:
            NotFiniteError: the loss or the gradient is not finite, and `skip` is off; nothing was
                changed.
        """
        group = group or self.batches(self.update)
        rate = self.schedule(self.update)
        loss, norm = self._backward(group)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self._move(rate)
        elif not self.skip:
            raise self._not_finite(group, loss, norm, rate)
        self.update += 1
        return Update(self.update, group.epoch, loss, rate, norm, skipped=not finite)

    def _backward(self, group: Group) -> tuple[float, float]:
        """The token-mean loss of all batches and the norm of its gradient, which is clipped."""
        while (loss := self._added_or_room(group)) is None:
            pass  # by now nothing holds what the failed pass had
        if self.processes.count > 1:
            self._passes.combine(self.processes.sum_)
            loss = self.processes.total(loss)
        return loss, self._passes.clip(self.clip_norm).item()

    def _added_or_room(self, group: Group) -> float | None:
        """As `_add_gradients`; `None` where memory was lacking, and passes gave some back."""
        try:
            return self._add_gradients(group)
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self._passes.make_room():
                raise
        return None

    def _add_gradients(self, group: Group) -> float:
        """This process's part of the token-mean loss; its gradient is then the weights'."""
        self._passes.clear()
        tokens, total = group.target_tokens, 0.0
        for place, batch in enumerate(group.batches):
            key = (self.seed, self.update, place, self.processes.rank)
            loss = self._passes.run(batch, key, tokens)
            if self.prepare and place + 1 == len(group.batches):
                self.prepare(self.update + 1)
            total += loss.item()
        return total

    def _move(self, rate: float) -> None:
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.step()

    def _not_finite(self, group: Group, loss: float, norm: float, rate: float) -> NotFiniteError:
        examples = ", ".join(map(str, group.examples[:_MOST_NAMED]))
        more = ", ..." if len(group.examples) > _MOST_NAMED else ""
        seen = f", over the training examples {examples}{more}" if examples else ""
        return NotFiniteError(
            f"the loss ({loss}) or its gradient ({norm}) is not finite at step {self.update + 1}, "
            f"rate {rate:.3g}{seen}; what was saved last is untouched",
            "begin again, --overwrite, with a smaller train.learning_rate or a longer "
            "train.warmup_steps; a training can also leave such updates out, train.not_finite=skip",
        )

    def release(self) -> None:
        """Give back the memory that steps over batches of the same lengths would use again."""
        self._passes.release()

    def state(self) -> State:
        """What `restore` goes back to; the tensors are the trainer's own, not copies."""
        found = {f"{WEIGHT}/{name}": tensor.detach() for name, tensor in self._weights.items()}
        for name, tensor in self._weights.items():
            kept = self.optimizer.state.get(tensor, {})
            found |= {f"{kind}/{name}": value for kind, value in kept.items()}
        return State(self.update, found)

    def restore(self, state: State) -> None:
        """Go back to where `state` was taken, of this model and this kind of optimizer.

        Its weights are copied; what the optimizer keeps is the trainer's own from here on.

        Raises:
            CompacterError: it is of another one; nothing was changed.
        """
        from compacter_cli.t5.variables import check_fit

        by_kind: dict[str, dict[str, Tensor]] = {}
        for key, value in state.tensors.items():
            kind, _, name = key.partition("/")
            by_kind.setdefault(kind, {})[name] = value
        weights = by_kind.pop(WEIGHT, {})
        try:
            check_fit(self._weights, weights)
            self._check_kept(by_kind)
            self.model.assign(weights)
            self._restore_optimizer(by_kind)
        except (ValueError, KeyError) as error:
            raise CompacterError(f"the saved state is of another training: {error}") from error
        self.update = state.update

    def _check_kept(self, by_kind: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Refuse with ValueError what this optimizer does not keep: torch takes anything."""
        kept: dict[str, dict[str, tuple[int, ...]]] = {}
        for kind, tensors in by_kind.items():
            for name, tensor in tensors.items():
                kept.setdefault(name, {})[kind] = tuple(tensor.shape)
        for name, entries in kept.items():
            expected = self._shapes_kept(self._weights[name]) if name in self._weights else {}
            if entries != expected:
                raise ValueError(
                    f"of {excerpt(name)} its optimizer keeps {excerpt(_words(entries))}, this one "
                    f"{_words(expected)}"
                )

    def _shapes_kept(self, weight: Tensor) -> dict[str, tuple[int, ...]]:
        """What the optimizer keeps for a weight, found out on one like it."""
        probe = torch.zeros_like(weight, requires_grad=True)
        probe.grad = torch.zeros_like(probe)
        groups = self.optimizer.param_groups
        self.optimizer.param_groups = [{**groups[0], "params": [probe]}]
        try:
            self.optimizer.step()
        finally:
            self.optimizer.param_groups = groups
        found = self.optimizer.state.pop(probe, {})
        return {kind: tuple(value.shape) for kind, value in found.items()}

    def _restore_optimizer(self, by_kind: Mapping[str, Mapping[str, Tensor]]) -> None:
        # Through torch, which knows of every entry on which device and in which dtype it is kept.
        kept = {
            index: {kind: by_kind[kind][name] for kind in by_kind if name in by_kind[kind]}
            for index, name in enumerate(self._weights)
        }
        groups = self.optimizer.state_dict()["param_groups"]
        known = {index: entries for index, entries in kept.items() if entries}
        self.optimizer.load_state_dict({"state": known, "param_groups": groups})


def _words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{kind} {shape}" for kind, shape in sorted(shapes.items())) or "nothing"


def adamw(parameters: Iterable[Tensor]) -> torch.optim.AdamW:
    """The paper's AdamW over `parameters`; its rate is given at each step."""
    return torch.optim.AdamW(
        parameters,
        lr=0.0,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        fused=True,  # one pass over the weights instead of ten
    )


def linear(peak: float, warmup: int, total: int) -> Callable[[int], float]:
    """The schedule of rates that go up to `peak` over `warmup` updates and down to 0 at `total`."""
    return lambda update: peak * rate_at(update, warmup, total)


def rate_at(step: int, warmup: int, total: int) -> float:
    """Factor on the learning rate at `step` (0 first): linear up over `warmup`, then down to 0."""
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))
