"""The formats that `convert` reads and writes: one table, a file each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.errors import UsageError, excerpt, nearest_or_all
from compacter_cli.exchange import adapterhub, compacter, hf, keras_hub, peft
from compacter_cli.exchange.words import WORDS

if TYPE_CHECKING:
    from compacter_cli.adapters.manifest import AdapterOrigin
    from compacter_cli.exchange.trained import AdapterWritten, Plain, Trained
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model


class Format(NamedTuple):
    """A format: of backbones, or of adapters.

    Backbones of every format are read where any backbone is, by `load_backbone`. What a format
    cannot do is `None`.

    Attributes:
        words: what is written, in a line of help.
        recognise: whether a directory holds a backbone or an adapter of it; reads little.
        default_to: the format that one of this is converted to where none is named.
        write_backbone: writes a plain T5 into an empty folder.
        recipe_of: the recipe of the adapter in a directory, out of the adapter itself, `--recipe`
            if it was given, and the values of `--set`. Without Keras, which takes seconds.
        read_adapter: the model that an adapter makes of a backbone, by that recipe.
        origin: where an adapter is from, of formats of other programs.
        write_adapter: writes a trained adapter into an empty folder, and says what came of it.
    """

    words: str
    recognise: Callable[[Path], bool]
    default_to: str
    write_backbone: Callable[[Plain, Path], None] | None = None
    recipe_of: Callable[[Path, str | None, Sequence[str]], Recipe] | None = None
    read_adapter: Callable[[Path, Recipe, Backbone], T5Model] | None = None
    origin: Callable[[Path], AdapterOrigin] | None = None
    write_adapter: Callable[[Trained, Path], AdapterWritten] | None = None


FORMATS = {
    "keras-hub": Format(
        WORDS["keras-hub"],
        keras_hub.recognise,
        default_to="hf",
        write_backbone=keras_hub.write,
    ),
    "hf": Format(
        WORDS["hf"],
        hf.recognise,
        default_to="keras-hub",
        write_backbone=hf.write,
    ),
    "compacter": Format(
        WORDS["compacter"],
        compacter.recognise,
        default_to="keras-hub",
        recipe_of=compacter.recipe_of,
        read_adapter=compacter.read,
        write_adapter=compacter.write,
    ),
    "adapterhub": Format(
        WORDS["adapterhub"],
        adapterhub.recognise,
        default_to="compacter",
        recipe_of=adapterhub.recipe_of,
        read_adapter=adapterhub.read,
        origin=adapterhub.origin,
        write_adapter=adapterhub.write,
    ),
    "peft": Format(
        WORDS["peft"],
        peft.recognise,
        default_to="compacter",
        recipe_of=peft.recipe_of,
        read_adapter=peft.read,
        origin=peft.origin,
        write_adapter=peft.write,
    ),
}


def format_named(name: str) -> Format:
    """The `Format` called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"--to {excerpt(name)}: no such format", nearest_or_all(name, FORMATS))
    return FORMATS[name]


def format_of(directory: Path) -> str | None:
    """The name of the format of what is in a directory, `None` where it is of none."""
    return next((name for name, form in FORMATS.items() if form.recognise(directory)), None)
