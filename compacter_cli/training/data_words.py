"""What the commands say of rows of one's own before they are trained on; nothing here prints."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from compacter_cli.errors import counted, excerpt
from compacter_cli.recipe.sections import OwnDataSection
from compacter_cli.tasks.own import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compacter_cli.data.survey import Survey
    from compacter_cli.recipe.recipe import Recipe

MOST_LABELS = 12  # of which a line tells the shares
LOPSIDED = 0.75  # share of one label above which accuracy alone says little
FEW = 50  # rows of which one is two points of a score


def labels_line(labels: Mapping[str, int], whose: str = "") -> list[str]:
    """How many training examples each label has, in a line; none for free text or many labels.

    `whose` stands before them where they are not all examples.
    """
    if not 0 < len(labels) <= MOST_LABELS:
        return []
    total = sum(labels.values()) or 1
    parts = (
        f"{excerpt(label, 40)} {count:,} ({100 * count / total:.0f} %)"
        for label, count in labels.items()
    )
    return [f"labels   {whose}{', '.join(parts)}"]


def survey_notes(found: Survey, recipe: Recipe, whole_file: bool = False) -> list[str]:
    """Sentences on what may surprise in the rows.

    Args:
        found: what was counted.
        recipe: resolved recipe.
        whole_file: nothing is divided yet: what is held out comes out of the same files.
    """
    return [
        *_of_labels(found, recipe),
        *_of_doubles(found, recipe, whole_file),
        *(
            f"{counted(count, 'row')} of {name} with an empty text in a column of data.source"
            for name, count in found.blank.items()
            if count
        ),
        *_of_length(found, recipe),
    ]


def size_notes(sizes: Mapping[str, int]) -> list[str]:
    """A sentence for each split that is too small to score by, from its number of rows."""
    return [
        f"{name} has {counted(size, 'row')}: one of them is {100 / size:.3g} points of a score"
        for name, size in sizes.items()
        if name != "train" and size < FEW
    ]


def _of_labels(found: Survey, recipe: Recipe) -> list[str]:
    if not found.labels:
        return []
    total = sum(found.labels.values()) or 1
    most, count = max(found.labels.items(), key=lambda pair: pair[1])
    notes = []
    if absent := [excerpt(label, 40) for label, number in found.labels.items() if not number]:
        notes.append(f"no training row has the label {', '.join(absent[:MOST_LABELS])}")
    metrics = getattr(recipe.data, "metrics", None) or ["accuracy"]
    if "macro_f1" in metrics:
        notes += _of_macro_f1(found)
    if count > LOPSIDED * total and set(metrics) <= {"accuracy"}:
        notes.append(
            f'{100 * count / total:.0f} % of the training rows are "{excerpt(most, 40)}", so '
            'accuracy alone says little: --set data.metrics=\'["accuracy", "macro_f1"]\''
        )
    return notes


def _of_macro_f1(found: Survey) -> list[str]:
    notes = []
    for name, absent in found.unscored.items():
        if absent:
            shown = ", ".join(excerpt(label, 40) for label in absent[:MOST_LABELS])
            reached = 100 * (1 - len(absent) / len(found.labels))
            notes.append(
                f"no {name} row has the label {shown}: macro F1 counts it as 0, and comes to "
                f"{reached:.3g} at most"
            )
    return notes


def _of_doubles(found: Survey, recipe: Recipe, whole_file: bool) -> list[str]:
    apart = {name: None if whole_file else _apart(recipe, name) for name in found.shared}
    notes = [
        f"{count:,} of {found.examples[name]:,} {name} sources are in train, too, as the model "
        "reads them: they show what it remembers" + (f"; {apart[name]}" if apart[name] else "")
        for name, count in found.shared.items()
        if count
    ]
    if found.repeated:
        divided = _apart(recipe, "validation") if whole_file else None
        notes.append(
            f"{found.repeated:,} of {found.examples['train']:,} training sources repeated"
            + (f", which may be divided between the splits: {divided}" if divided else "")
        )
    return notes


def _apart(recipe: Recipe, split: str) -> str | None:
    """How to keep a training source that stands twice out of `split`; none where that is not held
    out of the training file, or rows stay together by something else already.
    """
    data = recipe.data
    if not isinstance(data, OwnDataSection) or data.group or data.validation:
        return None
    if split == "test" and data.test:
        return None
    group = "".join(f"{{{name}}}" for name in columns_of(data.source))
    return f"--set {quote(f'data.group={group}')} keeps equal ones on one side"


def _of_length(found: Survey, recipe: Recipe) -> list[str]:
    told = _listed(found.cut)
    if not told:
        return []
    length = recipe.data.source_length
    return [f"cut at {length} tokens, so what follows is not read: {told} (data.source_length)"]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count)
