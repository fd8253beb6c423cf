"""What a format is given of a run, and what it says of what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.vocabulary import Vocabulary


@dataclass(frozen=True)
class Trained:
    """A run's adapter on its backbone.

    Attributes:
        model: the two, computed in float32.
        vocabulary: the backbone's.
        recipe: what it was trained by, and where its rows are now.
    """

    model: T5Model
    vocabulary: Vocabulary
    recipe: Recipe


class Folded(TypedDict):
    """What became of the backbone's weights.

    Attributes:
        tensors, parameters: how many weight tensors differ from the backbone's, and their numbers.
        of_tensors, of_parameters: of how many that are written.
        untied: whether a tied embedding and its head are two tensors now.
    """

    tensors: int
    of_tensors: int
    parameters: int
    of_parameters: int
    untied: bool


class Compared(TypedDict):
    """The run's model and what was written of it, loaded again, on the same examples.

    Attributes:
        largest_difference: of any logit.
        largest_logit: what the largest logit of the run's model comes to.
        examples: their number.
        on: what they are.
        why: where they are random, why there were no rows.
    """

    largest_difference: float
    largest_logit: float
    examples: int
    on: Literal["validation", "random tokens"]
    why: str | None


class Written(TypedDict):
    """What came of a conversion."""

    folded: Folded
    compared: Compared
