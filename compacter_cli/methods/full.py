"""Full fine-tuning: every weight of the backbone trains (the paper's T5-base row)."""

from typing import ClassVar, Literal

from compacter_cli.methods.base import Component, Method
from compacter_cli.t5.shapes import T5Shape


class Full(Method):
    """Fine-tune everything; the baseline that all other methods are compared with."""

    name: Literal["full"] = "full"

    title = "T5 (full fine-tuning)"
    learning_rate = 3e-4
    searched_rate = 1e-3
    trains_in_place = True
    components: ClassVar[dict[str, Component]] = {
        **Method.components,
        "backbone": Component("the whole backbone", None),
    }

    @property
    def trains(self) -> tuple[str, ...]:
        return ("*",)

    def count(self, shape: T5Shape) -> dict[str, int]:
        return {"backbone": shape.parameters()}
