"""What a recipe would do, before anything is trained: what `train --dry-run` finds and shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.data.rows import Rows
    from compacter_cli.profiling.forecast import Forecast
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.vocabulary import Vocabulary
    from compacter_cli.training.run_state import Standing

EXAMPLES = 3  # that a plan shows
SHOWN = 240  # characters of a text in it


class Example(TypedDict):
    """A training example as the model reads it; tokens, end token included, where known.

    A longer source is cut at the recipe's source length.
    """

    source: str
    target: str
    source_tokens: int | None
    target_tokens: int | None


class Plan(TypedDict):
    """What a recipe would do: `run` is the directory, `taken` whether something is there.

    `standing` is how far the run in it is, where it is to be gone on with; `places` where what the
    method adds sits; `examples` and `labels` are of the training rows, where those can be read
    without a framework; `notes` are sentences on what may be otherwise than meant, `unchecked` on
    what only a run can tell; `forecast` is what the training steps take, where it was measured.
    """

    run: str
    taken: bool
    standing: Standing | None
    unchecked: list[str]
    notes: list[str]
    method: list[str]
    places: str
    rows: dict[str, int]
    labels: dict[str, int]
    splits: str
    examples: list[Example]
    updates: int
    forecast: Forecast | None
    recipe: dict[str, Any]


def plan(
    *,
    recipe: Recipe,
    directory: Path,
    device: str | None = None,
    threads: int | None = None,
    offline: bool = False,
    resume: bool = False,
    measure: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """What a recipe would do, found without a framework in this process.

    Rows that are files here are read to their end: a web page saved as a zip is found out now, not
    in a night's queue. What TFDS prepared is looked over alone.

    Args:
        recipe: resolved recipe.
        directory: run directory.
        device: "cpu" or "cuda"; a GPU where there is one.
        threads: CPU threads; torch's own choice.
        offline: fetch nothing.
        resume: the run is to be gone on with.
        measure: take a few steps in a process of their own to tell time and memory.
        say: called with a line before what takes a while.

    Raises:
        CompacterError: the run could not be started.
    """
    from compacter_cli.data.at_hand import look_over, mean_lengths, reads_files, vocabulary_at_hand
    from compacter_cli.profiling.forecast import forecast
    from compacter_cli.t5.shapes import shape_of
    from compacter_cli.tasks import task_of
    from compacter_cli.tasks.own import FORMATS
    from compacter_cli.training.claim import is_vacant
    from compacter_cli.training.data_words import size_notes, survey_notes
    from compacter_cli.training.run import check_before_training
    from compacter_cli.training.run_state import standing
    from compacter_cli.training.words import method_lines, warmup_advice

    source = check_before_training(recipe, directory, offline, overwrite=True, resume=resume)
    rows = source.load() if reads_files(recipe) else None
    task, shape = task_of(recipe), shape_of(recipe.backbone.preset)
    own = recipe.task in FORMATS
    sizes = (
        task.split.sizes_of(rows.splits, recipe.data.seed)
        if rows and own
        else task.split.sizes(task.rows)
    )
    counted = min(sizes["train"], recipe.data.max_train_samples or sizes["train"])
    updates = recipe.train.updates_per_epoch(counted) * recipe.train.epochs
    vocabulary = vocabulary_at_hand(recipe) if rows else None
    looked = look_over(recipe, rows, vocabulary)
    notes = warmup_advice(recipe.train.warmup_steps, updates)
    if own:
        notes += size_notes(sizes)
    if looked and own:
        notes += survey_notes(looked, recipe, whole_file=True)
    return {
        "run": str(directory),
        "taken": not is_vacant(Path(directory)),
        "standing": standing(Path(directory), recipe) if resume else None,
        "unchecked": [] if measure else unchecked(device),
        "notes": notes,
        "method": method_lines(recipe.method, shape),
        "places": recipe.method.places(shape),
        "rows": sizes,
        "labels": looked.labels if looked and own else {},
        "splits": task.splits_words,
        "examples": examples_of(recipe, rows, vocabulary),
        "updates": updates,
        "forecast": (
            forecast(recipe, updates, mean_lengths(looked), device, threads, say)
            if measure
            else None
        ),
        "recipe": recipe.plain(),
    }


def examples_of(recipe: Recipe, rows: Rows | None, vocabulary: Vocabulary | None) -> list[Example]:
    """The first training rows as text, with their tokens where the vocabulary is here."""
    from itertools import islice

    from compacter_cli.data.dataset import with_prefix
    from compacter_cli.tasks import task_of

    if rows is None:
        return []
    task = task_of(recipe)

    def tokens(text: str) -> int | None:
        return None if vocabulary is None else len(vocabulary.encode([text])[0]) + 1

    found: list[Example] = []
    for row in islice(rows.splits["train"], EXAMPLES):
        source, target = with_prefix(task.source(row), recipe.data.prefix), task.target(row)
        found.append(
            {
                "source": source,
                "target": target,
                "source_tokens": tokens(source),
                "target_tokens": tokens(target),
            }
        )
    return found


def unchecked(device: str | None) -> list[str]:
    """What a plan cannot say without torch, in sentences."""
    if device is None or device == "cpu":
        return []
    return [f"not checked: whether {device} is here, which only torch knows"]


def show_plan(found: Plan) -> None:
    """Print a plan: the resolved recipe, what it comes to, and what may surprise."""
    import tomli_w

    from compacter_cli.commands.console import out

    out.print(tomli_w.dumps(found["recipe"]), soft_wrap=True)
    for line in plan_lines(found):
        out.say(line)


def plan_lines(found: Plan) -> list[str]:
    """What a plan comes to, a line each."""
    from compacter_cli.training.data_words import labels_line

    sizes = ", ".join(f"{size:,} {split}" for split, size in found["rows"].items())
    lines = list(found["method"])
    if found["places"]:
        lines.append(f"sits     {found['places']}")
    lines += [
        f"{sizes} rows ({found['splits']})",
        *labels_line(found["labels"], _of_the_file(found)),
        *_example_lines(found["examples"], found["recipe"]["data"]["source_length"]),
        f"{counted(found['updates'], 'update')}; the run would go to {found['run']}"
        + _standing_words(found),
        *_forecast_lines(found),
        *found["unchecked"],
        *(f"note: {sentence}" for sentence in found["notes"]),
    ]
    return lines


def _of_the_file(found: Plan) -> str:
    """Of which rows the labels are, where those are not the ones that will be trained on."""
    counted = sum(found["labels"].values())
    same = counted == found["rows"]["train"]
    return "" if same else f"of {counted:,} rows of the training file: "


def _example_lines(examples: list[Example], longest: int) -> list[str]:
    from compacter_cli.errors import excerpt

    lines = []
    for number, one in enumerate(examples, 1):
        cut = f", cut at {longest}" if (one["source_tokens"] or 0) > longest else ""
        source, target = excerpt(one["source"], SHOWN), excerpt(one["target"], SHOWN)
        lines += [
            f"example {number}: {source}{_tokens(one['source_tokens'], cut)}",
            f"       -> {target}{_tokens(one['target_tokens'])}",
        ]
    return lines or ["no example is shown: what TFDS has prepared a run alone reads"]


def _tokens(count: int | None, more: str = "") -> str:
    """How many tokens a text has, in brackets, where that is known."""
    return "" if count is None else f"  ({counted(count, 'token')}{more})"


def _forecast_lines(found: Plan) -> list[str]:
    from compacter_cli.files import size_text
    from compacter_cli.training.words import time_words

    told = found["forecast"]
    if told is None:
        return []
    frameworks = told["frameworks_bytes"]
    batch, size = found["recipe"]["train"]["batch_size"], told["examples"]
    part = "" if size == batch else f", scaled to {batch}"
    return [
        f"about {time_words(told['seconds'])} of training steps, scoring not counted, and "
        f"{size_text(told['peak_bytes'])} beside "
        + (
            f"the {size_text(frameworks)} that torch and keras take"
            if frameworks
            else "what torch itself takes"
        ),
        f"  by {counted(told['steps'], 'step')} of {counted(size, 'source')} of "
        f"{counted(told['source_tokens'], 'token')} on random "
        f"weights, on {told['device_name']}{part}",
    ]


def _standing_words(found: Plan) -> str:
    if found["standing"]:
        ways = {"vacant": ", where it begins", "unfinished": ", where it goes on"}
        return ways.get(found["standing"], ", where it is finished: there is nothing to do")
    if found["taken"]:
        return ", which is taken: --resume goes on with a run, --overwrite replaces it"
    return ""
