"""Prompt tuning from token embeddings (PROMPT TUNING-T, section 5.1)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Weights
from compacter_cli.methods.prompt import PromptTuning
from compacter_cli.t5.shapes import T5Shape

if TYPE_CHECKING:
    import torch


class PromptT(PromptTuning):
    """Prompts that start as a copy of the embedding's first rows."""

    name: Literal["prompt_t"] = "prompt_t"

    title = "Prompt Tuning-T"
    learning_rate = 3e-1  # beyond the grid of the search, whose largest rate was its best

    def problems(self, shape: T5Shape) -> list[Problem]:
        if self.length <= shape.vocabulary_size:
            return []
        return [
            Problem(
                "method.length",
                f"{self.length} prompts cannot start from {shape.vocabulary_size} token embeddings",
                f"set it to {shape.vocabulary_size} or less, or use prompt_r",
            )
        ]

    def initializer(self, seed: int, weights: Weights) -> "Callable[..., torch.Tensor]":
        def first_rows(shape: tuple[int, int], dtype: str | None = None) -> "torch.Tensor":
            # A copy: the embedding itself stays frozen and shared with the output head.
            return weights["embedding"].value[: self.length].detach().float().clone()

        return first_rows
