"""Whether a backbone's vocabulary can write the answers that it is to be taught."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, Problem, excerpt

if TYPE_CHECKING:
    from compacter_cli.t5.vocabulary import Vocabulary

MOST_NAMED = 5  # of the labels that cannot be written
MEND = "use words that the vocabulary has, without spaces at the ends"


def label_problems(
    labels: Sequence[str], vocabulary: "Vocabulary", target_length: int, key: str
) -> list[Problem]:
    """`Problem`s of a task's target texts.

    A label must come back from its tokens as it was: only then is an answer of these tokens right.
    Two labels that both do are not the same tokens either.

    Args:
        labels: all target texts of the task, at least one.
        vocabulary: the backbone's.
        target_length: how many tokens a target may have, its end token included.
        key: what of the recipe to mend where labels cannot be written.
    """
    problems = []
    if lost := lost_labels(labels, vocabulary):
        problems.append(Problem(key, lost, MEND))
    longest, length = vocabulary.longest(labels)
    if length > target_length:
        problems.append(
            Problem(
                "data.target_length",
                f'the label "{excerpt(longest)}" is {length} tokens long, more than '
                f"{target_length}",
                f"set it to {length} or more",
            )
        )
    return problems


def check_labels(labels: Sequence[str], vocabulary: "Vocabulary") -> None:
    """The same of a vocabulary that was not at hand when the recipe was checked.

    Raises:
        CompacterError: a label cannot be written.
    """
    if lost := lost_labels(labels, vocabulary):
        raise CompacterError(lost, MEND)


def lost_labels(labels: Sequence[str], vocabulary: "Vocabulary") -> str | None:
    """Which labels a vocabulary cannot write, in words, or `None`."""
    lost = [
        f'"{excerpt(label)}" (it comes back as "{excerpt(back)}")'
        for label, back in unwritable(labels, vocabulary).items()
    ]
    if not lost:
        return None
    more = f" and {len(lost) - MOST_NAMED:,} more" if len(lost) > MOST_NAMED else ""
    return f"the backbone's vocabulary cannot write the label {', '.join(lost[:MOST_NAMED])}{more}"


def unwritable(texts: Iterable[str], vocabulary: "Vocabulary") -> dict[str, str]:
    """Those of `texts` that do not survive encoding, with what is decoded of them instead."""
    texts = list(dict.fromkeys(texts))
    decoded = map(vocabulary.decode, vocabulary.encode(texts))
    return {text: back for text, back in zip(texts, decoded, strict=True) if text != back}
