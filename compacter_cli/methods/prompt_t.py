"""Prompt tuning from token embeddings (PROMPT TUNING-T, section 5.1)."""

from typing import Literal

from compacter_cli.errors import Problem
from compacter_cli.methods.prompt import PromptTuning


class PromptT(PromptTuning):
    """Prompts that start as a copy of the embedding's first rows."""

    name: Literal["prompt_t"] = "prompt_t"

    title = "Prompt Tuning-T"
    learning_rate = 3e-1

    def problems(self, shape):
        if self.length <= shape.vocabulary_size:
            return []
        return [
            Problem(
                "method.length",
                f"{self.length} prompts cannot start from {shape.vocabulary_size} token embeddings",
                f"set it to {shape.vocabulary_size} or less, or use prompt_r",
            )
        ]

    def initializer(self, seed, weights):
        def first_rows(shape, dtype=None):
            # A copy: the embedding itself stays frozen and shared with the output head.
            return weights["embedding"].value[: self.length].detach().float().clone()

        return first_rows
