"""T5's span corruption (Raffel et al. 2020, section 3.1.4): spans taken out, to be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from compacter_cli.t5.vocabulary import END

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import bool_, int32, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    from compacter_cli.pretraining.sections import CorruptionSection

Pair: TypeAlias = tuple[list[int], list[int]]
"""Token ids of a source and of its target."""


def corrupt(
    ids: NDArray[int32], sentinels: Sequence[int], section: CorruptionSection, generator: Generator
) -> Pair:
    """The source and target of a piece, end tokens included.

    In the source a sentinel stands for each span taken out; the target is each span behind its
    sentinel, and one more sentinel. As T5: 15 % of the tokens in spans of 3 on average, their
    number fixed and their lengths random.

        Thank you for inviting me to your party last week .
        Thank you <extra_id_0> me to your party <extra_id_1> week .
        <extra_id_0> for inviting <extra_id_1> last <extra_id_2>

    Args:
        ids: the piece, one token or more.
        sentinels: token ids of the sentinels in their order, `sentinels_needed` or more.
        section: the recipe's corruption section.
        generator: what is drawn from.
    """
    import numpy as np

    mask = noise_mask(len(ids), section, generator)
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    source, target, done = [], [], 0
    for sentinel, start, end in zip(sentinels, edges[::2], edges[1::2], strict=False):
        source += [*ids[done:start].tolist(), sentinel]
        target += [sentinel, *ids[start:end].tolist()]
        done = end
    source += ids[done:].tolist()
    return [*source, END], [*target, sentinels[len(edges) // 2], END]


def noise_mask(length: int, section: CorruptionSection, generator: Generator) -> NDArray[bool_]:
    """(length,), true on the tokens to take out: spans apart from each other."""
    import numpy as np

    noise, spans = _noise_and_spans(length, section)
    if noise == length:
        return np.ones(length, dtype=bool)
    kept = _segments(length - noise, spans, generator)
    taken = _segments(noise, spans, generator)
    mask = np.repeat(np.tile([False, True], spans), np.stack([kept, taken], axis=1).ravel())
    # As it is, the first token would always stay and the last always go: little matters that in
    # T5's 512 tokens, but much in a sentence.
    return np.roll(mask, generator.integers(length))


def sentinels_needed(length: int, section: CorruptionSection) -> int:
    """Sentinels that a piece of up to `length` tokens can need."""
    spans = max(_noise_and_spans(tokens, section)[1] for tokens in range(1, length + 1))
    return spans + 2  # one span more where the roll divides one, and the target's last


def _noise_and_spans(length: int, section: CorruptionSection) -> tuple[int, int]:
    """How many tokens of a piece are taken out, and in how many spans."""
    noise = min(max(round(length * section.noise_density), 1), max(length - 1, 1))
    spans = max(round(noise / section.mean_span_length), 1)
    return noise, min(spans, max(length - noise, 1))


def _segments(total: int, count: int, generator: Generator) -> NDArray[int64]:
    """Sizes of `count` segments, none empty, that divide `total` at random."""
    import numpy as np

    cuts = np.sort(generator.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)
