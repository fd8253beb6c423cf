"""What a format is given of a T5 or an adapter, and what it says of what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone

    from compacter_cli.adapters.manifest import AdapterOrigin
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.vocabulary import Vocabulary


@dataclass(frozen=True)
class Plain:
    """A T5 without an adapter.

    Attributes:
        backbone: KerasHub's, in float32.
        vocabulary: its own.
    """

    backbone: T5Backbone
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Trained:
    """An adapter on its backbone, whoever trained it.

    Attributes:
        model: the two, computed in float32.
        backbone: as it was loaded.
        recipe: of its task and method, and where its rows are now.
        origin: of one of another program.
    """

    model: T5Model
    backbone: Backbone
    recipe: Recipe
    origin: AdapterOrigin | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The backbone's."""
        return self.backbone.vocabulary


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
    """The adapter's model and what was written of it, loaded again, on the same examples.

    Attributes:
        largest_difference: of any logit.
        largest_logit: what the largest logit of the adapter's model comes to.
        examples: their number.
        on: what they are.
        why: where they are random, why there were no rows.
    """

    largest_difference: float
    largest_logit: float
    examples: int
    on: Literal["validation", "random tokens"]
    why: str | None


class FoldedWritten(TypedDict):
    """What came of an adapter that was folded into its backbone."""

    folded: Folded
    compared: Compared


class BackboneWritten(TypedDict):
    """What came of a backbone that was written in another format.

    Attributes:
        fingerprint: of what was read and of what was written.
        tensors, parameters: how many it has.
        rows: of its embedding.
        pieces: of its vocabulary.
    """

    fingerprint: str
    tensors: int
    parameters: int
    rows: int
    pieces: int


class AdapterWritten(TypedDict):
    """What came of an adapter that was written as one.

    Attributes:
        tensors, parameters: how many are in its file.
        notes: what whoever uses it must know, such as what it was written without.
    """

    tensors: int
    parameters: int
    notes: list[str]


class Written(TypedDict):
    """What came of an adapter: of one that was folded, or of one that is an adapter still."""

    folded: NotRequired[Folded]
    compared: NotRequired[Compared]
    tensors: NotRequired[int]
    parameters: NotRequired[int]
    notes: NotRequired[list[str]]


class Converted(Written):
    """What was made of which adapter, and where."""

    to: str
    directory: str
    adapter: str
    task: str
    method: str
    prefix: str | None


class ConvertedBackbone(BackboneWritten):
    """What was made of which backbone, and where."""

    to: str
    directory: str
    backbone: str
