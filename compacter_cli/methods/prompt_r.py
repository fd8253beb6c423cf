"""Prompt tuning from random vectors (PROMPT TUNING-R, section 5.1)."""

from typing import TYPE_CHECKING, Literal

from compacter_cli.methods.base import Weights
from compacter_cli.methods.prompt import PromptTuning
from compacter_cli.section import seed_of

if TYPE_CHECKING:
    import keras


class PromptR(PromptTuning):
    """Prompts that start uniformly between -0.5 and 0.5."""

    name: Literal["prompt_r"] = "prompt_r"

    title = "Prompt Tuning-R"
    learning_rate = 3e-2
    searched_rate = 6.4e-2

    def initializer(self, seed: int, weights: Weights) -> "keras.initializers.Initializer":
        import keras

        return keras.initializers.RandomUniform(-0.5, 0.5, seed=seed_of(seed, "prompt"))
