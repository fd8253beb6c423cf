"""Token ids of large sets of texts, kept on disk under the hash of all that went into them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.files import beside, cache_directory

if TYPE_CHECKING:
    from compacter_cli.t5.vocabulary import Vocabulary

WORTH = 20_000  # texts; fewer are encoded faster than a file is found
FORM = 1  # of the file; a new one is not looked for under an old name


def encode(vocabulary: Vocabulary, texts: Iterable[str]) -> list[list[int]]:
    """`vocabulary.encode(texts)`, from the cache where these very texts are in it.

    The cache lies in `COMPACTER_CACHE` or ~/.cache/compacter. It may be deleted at any time, and
    where it cannot be written or read the texts are encoded again.
    """
    texts = list(texts)
    if len(texts) < WORTH:
        return vocabulary.encode(texts)
    path = cache_directory() / "tokens" / f"{_key(vocabulary, texts)}.npz"
    found = _read(path, len(texts))
    if found is None:
        found = vocabulary.encode(texts)
        _write(path, found)
    return found


def _key(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{FORM} {vocabulary.sha256}".encode())
    for text in texts:
        data = text.encode()
        digest.update(f" {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _read(path: Path, count: int) -> list[list[int]] | None:
    """The lists of ids in a file; `None` where there is none, or it is damaged."""
    import numpy as np

    try:
        # No pickles: numpy refuses them by default.
        with open(path, "rb") as opened, np.load(opened) as file:
            ids, ends = file["ids"], file["ends"]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if len(ends) != count or (count and ends[-1] != len(ids)):
        return None
    flat, starts = ids.tolist(), [0, *ends.tolist()]
    return [flat[start:end] for start, end in pairwise(starts)]


def _write(path: Path, encoded: Sequence[Sequence[int]]) -> None:
    """Write the file whole; a disk that is full or locked costs the cache only."""
    import numpy as np

    ids = np.fromiter((token for row in encoded for token in row), dtype=np.int32)
    ends = np.cumsum([len(row) for row in encoded], dtype=np.int64)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as fresh, open(fresh, "wb") as file:
            np.savez(file, ids=ids, ends=ends)
