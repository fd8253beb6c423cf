"""What a run's saved state says beside its tensors, and whether a run may go on from it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NotRequired, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.adapters.manifest import StartedFrom
from compacter_cli.errors import CompacterError, Interrupted, UsageError, excerpt
from compacter_cli.recipe.earlier import completed
from compacter_cli.recipe.tables import read_tables
from compacter_cli.training.claim import RECIPE, check_same_recipe, is_vacant
from compacter_cli.training.lock import check_free
from compacter_cli.training.records import EpochLine, ProgressRecord, ScoresRecord
from compacter_cli.training.run_directory import FREE, RUN, read_result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from compacter_cli.recipe.recipe import Recipe


class Fingerprints(TypedDict):
    """What must be the same for a run to go on: hashes of the backbone's weights and the rows."""

    backbone: str
    data: str


class Computed(TypedDict):
    """What a result is bit-identical under: another may round otherwise, or draw otherwise.

    Earlier versions did not write `processes` down: there was one.
    """

    compacter: str
    torch: str
    device: str
    threads: int
    dropout: str
    processes: NotRequired[int]


class RunRecord(TypedDict):
    """The record of a run's state.

    Attributes:
        recipe: plain, with every seed.
        progress: epochs scored, and the losses of the one at hand.
        best: the best epoch's line of metrics.jsonl; `None` before the first.
        before: what the untrained model scores, where the recipe asks.
        seconds: of training so far.
        started_from: the adapter that it began with, if any; earlier versions knew none.
    """

    recipe: dict[str, Any]
    fingerprints: Fingerprints
    computed: Computed
    progress: ProgressRecord
    best: EpochLine | None
    before: ScoresRecord | None
    seconds: float
    started_from: NotRequired[StartedFrom | None]


Standing = Literal["vacant", "unfinished", "finished"]


def standing(directory: Path, recipe: Recipe) -> Standing:
    """How far the run of `recipe` in `directory` is.

    Raises:
        UsageError: the directory holds something else, or a run of another recipe.
    """
    if is_vacant(directory):
        return "vacant"
    check_free(directory)
    if not RUN.holds(directory):
        raise UsageError(f"{directory} {RUN.refused}", "choose another --output")
    if found := _recipe_in(directory):
        check_same_recipe(directory, found, recipe.plain(), FREE)
    try:
        return "finished" if read_result(directory) is not None else "unfinished"
    except CompacterError:  # damaged: it is written again
        return "unfinished"


def _recipe_in(directory: Path) -> dict[str, Any] | None:
    """The plain recipe of a run, or `None` where it is damaged: its state holds it, too."""
    from compacter_cli.recipe.recipe import recipe_of_run

    try:
        _, tables = read_tables(str(directory / RECIPE))
        return recipe_of_run(tables).resolved().plain()
    except (CompacterError, ValueError):
        return None


def check_record(
    directory: Path, record: Mapping[str, Any], recipe: Recipe, now: Fingerprints
) -> RunRecord:
    """The record of a state, that a run of `recipe` on what is `now` there goes on from.

    Raises:
        UsageError: it is of another recipe, other rows or another backbone.
        CompacterError: it is none.
    """
    try:
        TypeAdapter(RunRecord).validate_python(record, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = excerpt(".".join(map(str, first["loc"])))
        missing = first["type"] == "missing"
        what = f"lacks {key}" if missing else f"is damaged: {key}: {first['msg']}"
        raise CompacterError(
            f"the state in {directory} {what}", "begin again with --overwrite"
        ) from error
    found = cast(RunRecord, record)
    check_same_recipe(directory, completed(found["recipe"]), recipe.plain(), FREE)
    for what, key in (("rows", "data"), ("backbone", "backbone")):
        before, here = found["fingerprints"][key], now[key]
        if before != here:
            raise UsageError(
                f"{directory} was begun with other {what}: the fingerprint is "
                f"{excerpt(before[:12])} there and {here[:12]} here",
                "give what it was begun with, or begin another run with another --output",
            )
    return found


def changes(before: Computed, now: Computed) -> list[str]:
    """What is computed with otherwise than before, a sentence each."""
    then, here = ({"processes": 1, **computed} for computed in (before, now))
    differing = [name for name in Computed.__annotations__ if then[name] != here[name]]
    return [
        _OTHERWISE.get(name, "{name} was {then} and is {here}: the last digits may differ").format(
            name=name, then=then[name], here=here[name]
        )
        for name in differing
    ]


_OTHERWISE = {
    "dropout": "another device draws another dropout: what comes differs from one run through",
    "processes": "the run was computed by {then} at a time and is by {here}: the last digits may "
    "differ, and dropout, where there is any, is another",
}


@contextmanager
def telling_how_to_go_on(command: str, when: str) -> Iterator[None]:
    """Let a signal that ends what is done inside tell when it did, and the command to go on.

    What tells that command already stays: it knows better when.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if getattr(interrupt, "command", None) == command:
            raise
        raise Interrupted(
            f"interrupted {when}", getattr(interrupt, "signum", signal.SIGINT), command
        ) from None
