"""What a fine-tuning method declares, whatever it is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from compacter_cli.errors import Problem
from compacter_cli.section import Section
from compacter_cli.t5.shapes import T5Shape

if TYPE_CHECKING:
    import keras

Layer: TypeAlias = "keras.layers.Layer"
Layers: TypeAlias = "dict[str, keras.layers.Layer]"
"""Layers that a method adds, by structural name."""
Weights: TypeAlias = "Mapping[str, keras.Variable]"
"""Variables of the backbone, by structural name."""

NO_WEIGHTS: Weights = MappingProxyType({})


class Component(NamedTuple):
    """What a part of a method's count is called: in a sentence, and the table column it stands in.

    Parts of the same column are summed there; `None` is no column but that of all trained.
    """

    words: str
    column: str | None


class Method(Section):
    """Settings of one method, what it trains of the backbone and what it adds to it.

    A subclass is the `[method]` table of a recipe: its fields are the method's own
    hyperparameters and nothing else. Nothing here needs a framework but `build`.
    """

    name: str
    """Name of the method; it decides which other keys the table may hold."""

    title: ClassVar[str]
    """Name in the paper's tables."""
    learning_rate: ClassVar[float]
    """The paper's rate, used where a recipe of its setting gives none."""
    searched_rate: ClassVar[float | None] = None
    """Rate used where another recipe gives none: of the grid that was tried with every method on
    the demo tasks, the best mean validation score. `None` is `learning_rate`."""
    prefixes_task: ClassVar[bool] = True
    """Whether the task's name is put before every source text."""
    trains_in_place: ClassVar[bool] = False
    """Whether training may write to the backbone's own variables instead of to copies."""
    unsaid: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that runs of earlier versions did not write, and what held then."""

    components: ClassVar[dict[str, Component]] = {
        "layer_norms": Component("layer norms", "norms"),
        "output_layer": Component("output layer", None),
    }
    """What the components of `count` are called; a method adds those of its own."""

    def component(self, name: str) -> Component:
        """The `Component` called `name`; one that the method does not describe says its name."""
        words = name.replace("_", " ")
        return self.components.get(name, Component(words, words))

    @property
    def trains(self) -> tuple[str, ...]:
        """Which backbone weights train: shell patterns over structural names."""
        return ()

    def problems(self, shape: T5Shape) -> list[Problem]:
        """`Problem`s of these settings on a backbone of dimensions `shape`; none by default."""
        return []

    def count(self, shape: T5Shape) -> dict[str, int]:
        """Trained parameters by component, exactly: `{"adapters": 38016, ...}`."""
        raise NotImplementedError

    def closed_form(self, shape: T5Shape) -> int | None:
        """The paper's formula (section 4), without biases and norms; `None` if it has none."""
        return None

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        """The layers to add, built, by structural name: `{"encoder.0.feed_forward.adapter": ...}`.

        Initial values follow from `seed` and each layer's name, and where a method starts from
        the backbone, from `weights`, its variables by structural name. `dtype` is the name of a
        Keras dtype policy.
        """
        return {}

    def places(self, shape: T5Shape) -> str:
        """Where what it adds sits in a backbone of dimensions `shape`, in words; "" for nothing."""
        return ""

    def settings(self) -> dict[str, Any]:
        """The fields that have a value as plain data, for manifests and to compare two methods."""
        return self.plain()


class Efficient(Method):
    """A method that freezes the backbone but for what it declares, and adds what it trains."""

    train_output_layer: bool = False
    """Train the output head too, as the paper's appendix C; a tied one as a copy of its own."""

    @property
    def trains(self) -> tuple[str, ...]:
        return ("head",) if self.train_output_layer else ()

    def count(self, shape: T5Shape) -> dict[str, int]:
        count = self.count_added(shape)
        if self.train_output_layer:
            count["output_layer"] = shape.vocabulary_size * shape.hidden_dim
        return count

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        """Trained parameters by component, the output layer left out."""
        raise NotImplementedError
