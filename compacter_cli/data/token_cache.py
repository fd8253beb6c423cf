"""Token ids of large sets of texts, kept on disk under the hash of all that went into them."""

from __future__ import annotations

import hashlib
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from compacter_cli.files import beside, cache_directory

if TYPE_CHECKING:
    import numpy as np

    from compacter_cli.t5.vocabulary import Vocabulary

    Ids: TypeAlias = tuple[np.ndarray, np.ndarray]  # all ids, and where each text's end

WORTH = 20_000  # texts of a file; where there are fewer in all, they are encoded each time
AT_ONCE = 1_000  # texts that are lists of Python's integers at a time
FORM = 1  # of the file; a new one is not looked for under an old name


def encode(vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[int]]:
    """The token ids of each of `texts`, from the cache where these very texts are in it.

    Texts are taken and encoded as the ids are asked for, `WORTH` at a time at most, which are a
    file of the cache. It lies in `COMPACTER_CACHE` or ~/.cache/compacter, may be deleted at any
    time, and where it cannot be written or read the texts are encoded again.
    """
    for place, part in enumerate(_parts(texts, WORTH)):
        few = place == 0 and len(part) < WORTH
        yield from _encoded(vocabulary, part) if few else _kept(vocabulary, part)


def _parts(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    given = iter(texts)
    while part := list(islice(given, size)):
        yield part


def _encoded(vocabulary: Vocabulary, texts: Sequence[str]) -> Iterator[list[int]]:
    return chain.from_iterable(map(vocabulary.encode, _parts(texts, AT_ONCE)))


def _kept(vocabulary: Vocabulary, texts: Sequence[str]) -> Iterator[list[int]]:
    path = cache_directory() / "tokens" / f"{_key(vocabulary, texts)}.npz"
    found = _read(path, len(texts))
    if found is None:
        found = _joined(_encoded(vocabulary, texts))
        _write(path, found)
    ids, ends = found
    for start, end in pairwise([0, *ends.tolist()]):
        yield ids[start:end].tolist()


def _key(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{FORM} {vocabulary.sha256}".encode())
    for text in texts:
        data = text.encode()
        digest.update(f" {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _read(path: Path, count: int) -> Ids | None:
    """The ids in a file of `count` texts; `None` where there is none, or it is damaged."""
    import numpy as np

    try:
        # No pickles: numpy refuses them by default.
        with open(path, "rb") as opened, np.load(opened) as file:
            ids, ends = file["ids"], file["ends"]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if len(ends) != count or (count and ends[-1] != len(ids)):
        return None
    return ids, ends


def _joined(encoded: Iterable[Sequence[int]]) -> Ids:
    import numpy as np

    ids, ends = array("i"), array("q")
    for text in encoded:
        ids.extend(text)
        ends.append(len(ids))
    return np.array(ids, dtype=np.int32), np.array(ends, dtype=np.int64)


def _write(path: Path, found: Ids) -> None:
    """Write the file whole; a disk that is full or locked costs the cache only."""
    import numpy as np

    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as fresh, open(fresh, "wb") as file:
            np.savez(file, ids=found[0], ends=found[1])
