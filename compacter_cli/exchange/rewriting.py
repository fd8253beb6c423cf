"""A backbone in another format: read, written, and read again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError
from compacter_cli.exchange.trained import Plain
from compacter_cli.files import new_directory, writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compacter_cli.exchange.trained import BackboneWritten


def write_again(
    preset: str, directory: Path, write: Callable[[Plain, Path], None]
) -> BackboneWritten:
    """Write a backbone by a format's `write`, and read it again: every weight must be the same.

    One of the two is in memory at a time. `directory` is new or empty, and on an error left as it
    was.

    Raises:
        MissingResourceError: the backbone is not there.
        CompacterError: it is damaged, or what was written reads as something else.
    """
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.placement import shape_of_backbone

    loaded = load_backbone(preset)
    shape, fingerprint = shape_of_backbone(loaded.keras), loaded.fingerprint
    vocabulary = loaded.vocabulary
    with writing(directory), new_directory(directory) as fresh:
        write(Plain(loaded.keras, vocabulary), fresh)
        del loaded
        gc.collect()  # Keras' layers know each other in circles
        again = load_backbone(str(fresh))
        if (again.fingerprint, again.vocabulary.sha256) != (fingerprint, vocabulary.sha256):
            raise CompacterError(
                f"what was written of {preset} is not what was read: fingerprint "
                f"{again.fingerprint[:12]}…, expected {fingerprint[:12]}…",
                "the disk may be failing: try another directory",
            )
    return {
        "fingerprint": fingerprint,
        "tensors": shape.weight_tensors,
        "parameters": shape.parameters(),
        "rows": shape.vocabulary_size,
        "pieces": len(vocabulary),
    }
