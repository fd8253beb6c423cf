"""The model card of a run: README.md beside its best adapter, as people and model hubs read it.

Nothing in it depends on where or how long a run was trained, and it names no path of this machine.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from compacter_cli.adapters.card_file import CARD, edited, signed
from compacter_cli.errors import counted, excerpt
from compacter_cli.files import sweep, write_text
from compacter_cli.section import flat
from compacter_cli.tasks import task_of
from compacter_cli.training.card_metadata import HUB_MODELS, base_model, metadata, yaml_lines

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.adapters.manifest import TrainedOn
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Task
    from compacter_cli.training.records import Result


def card_of(recipe: Recipe, result: Result, backbone: TrainedOn) -> str:
    """The card's text.

    Args:
        recipe: resolved recipe of the run.
        result: what it came to.
        backbone: what the adapter's manifest says of its backbone.
    """
    task = task_of(recipe)
    header = "\n".join(yaml_lines(metadata(recipe, result, task)))
    body = "\n\n".join(
        (
            f"# {recipe.method.title} on {task.name}",
            _opening(recipe, result),
            f"## Task\n\n{_of_task(task)}",
            f"## Data\n\n{_of_data(recipe, result, task)}",
            f"## Method\n\n{_of_method(recipe, result)}",
            f"## Scores\n\n{_of_scores(recipe, result)}",
            f"## Backbone\n\n{_of_backbone(backbone)}",
            f"## How to load it\n\n{_of_loading(recipe, task)}",
            "## Licence\n\nTo be filled in, here and above; backbone and data have their own.",
        )
    )
    return signed(f"---\n{header}\n---\n\n{body}\n\n")


def write_card(directory: Path, text: str) -> bool:
    """Write a card into an adapter's directory, unless one is there that somebody has edited.

    Returns:
        Whether it was written.

    Raises:
        CompacterError: it cannot be written.
        OSError: one is there that cannot be read.
    """
    sweep(directory, CARD.__eq__)
    path = directory / CARD
    if not _is_free(directory):
        return False
    write_text(path, text)
    return True


def _is_free(directory: Path) -> bool:
    """Whether there is no card of somebody's own."""
    try:
        return edited(directory) is None
    except ValueError:  # it is not one that was written here
        return False


def _opening(recipe: Recipe, result: Result) -> str:
    return (
        "An adapter for a T5, not a model of its own: "
        f"{result['trained_parameters']:,} parameters, {result['trained_percent']:.3g} % of its "
        "backbone's, trained by compacter."
    )


def _of_task(task: Task) -> str:
    labels = ", ".join(map(_code, task.labels)) or "a text of its own"
    return f"It reads {_code(task.shape[1])} and answers with {labels}."


def _of_data(recipe: Recipe, result: Result, task: Task) -> str:
    lines = [
        f"{_code(task.name)}, {_WAYS[result['data']['way']]}: {result.get('train_examples', 0):,} "
        f"training examples, {result['validation']['count']:,} that chose the best epoch, "
        f"{result['test']['count']:,} that it is tested on.",
        f"Splits: {task.splits_words} (drawn from the data seed, {recipe.data.seed}).",
    ]
    hashes = result["data"].get("sha256", {})
    lines += [f"- {_code(name)}: sha256 `{digest}`" for name, digest in sorted(hashes.items())]
    return "\n".join(lines)


_WAYS = {
    "generated": "made by compacter",
    "own files": "files of one's own",
    "folder": "the original files",
    "archive": "the original files",
    "tfds": "as TensorFlow Datasets has it",
}


def _of_method(recipe: Recipe, result: Result) -> str:
    settings = flat(recipe.method.settings())
    lines = ["| setting | value |", "|---|---|"]
    lines += [f"| {key} | {_code(json.dumps(value))} |" for key, value in settings]
    train, epochs = recipe.train, result.get("epochs_trained", result["epochs"])
    return "\n".join(
        [
            f"{recipe.method.title}: {counted(result.get('updates', 0), 'update')} of "
            f"{counted(train.batch_size * train.accumulate, 'example')} in "
            f"{counted(epochs, 'epoch')}, AdamW at a peak rate of {train.peak_rate:g}; the "
            f"best epoch is {result['best_epoch']}." + _of_start(result),
            "",
            *lines,
        ]
    )


def _of_start(result: Result) -> str:
    """The adapter that it began with, in a sentence, where there is one."""
    started = result.get("started_from")
    if started is None:
        return ""
    task, digest = _code(started["task"]), started["sha256"]
    return f" It started from an adapter trained on {task} (sha256 of its weights: `{digest}`)."


def _of_scores(recipe: Recipe, result: Result) -> str:
    validation, test = result["validation"], result["test"]
    lines = ["| | validation | test | majority of the test |", "|---|---|---|---|"]
    for name, value in test["metrics"].items():
        majority = test["majority"].get(name)
        cells = (validation["metrics"].get(name), value, majority)
        lines.append(f"| {name} | " + " | ".join(map(_percent, cells)) + " |")
    return "\n".join(
        [
            "In percent, the majority's being those of always giving the most frequent answer:",
            "",
            *lines,
            "",
            f"Of one run, with seed {recipe.seed}: how far they vary by seed, it does not say.",
        ]
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _of_backbone(backbone: TrainedOn) -> str:
    count = backbone.get("parameters")
    size = f", {count:,} parameters" if count else ""
    return "\n".join(
        [
            f"{_code(base_model(backbone['preset']))}{size}. It loads onto the same weights alone:",
            "",
            f"- fingerprint of the weights: `{backbone['fingerprint']}`",
            f"- sha256 of the vocabulary: `{backbone['vocabulary_sha256']}`",
        ]
    )


def _of_loading(recipe: Recipe, task: Task) -> str:
    preset = recipe.backbone.preset
    preset = preset if preset in HUB_MODELS else "path/to/backbone"
    text = _plain(task.shape[1])
    return f"""\
With this folder as `run/best`, and the backbone as a KerasHub preset or a folder of Hugging Face's,
by the command line:

```sh
compacter predict --run run --set backbone.preset={preset} --text {shlex.quote(text)}
```

In Python:

```python
from compacter_cli import Predictor, load_backbone

predictor = Predictor(load_backbone("{preset}"), "run/best")
predictor.predict([{json.dumps(text, ensure_ascii=False)}])
```

Over HTTP, beside others on the same backbone:

```sh
compacter serve --adapter mine=run --set backbone.preset={preset}
```"""


def _code(text: str) -> str:
    return f"`{_plain(text).replace('|', '/')}`"


def _plain(text: str) -> str:
    """A text that ends no code that it stands in."""
    return excerpt(text, 300).replace("`", "'")
