"""What `convert` says of what it made."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from compacter_cli.errors import counted

if TYPE_CHECKING:
    from compacter_cli.exchange.trained import Converted, ConvertedBackbone
    from compacter_cli.recipe.recipe import Recipe


def show(found: Converted, recipe: Recipe) -> None:
    """Print what became of an adapter, how near it is, how it is used, and the next command."""
    from compacter_cli.commands.console import out, show_note

    if why := found.get("compared", {}).get("why"):
        show_note(f"compared on random tokens, for there were no rows: {why}")
    for note in found.get("notes", []):
        show_note(note)
    for line in lines_of(found, recipe):
        out.say(line)


def show_backbone(found: ConvertedBackbone) -> None:
    """Print what became of a backbone, and the next command."""
    from compacter_cli.commands.console import out

    for line in lines_of_backbone(found):
        out.say(line)


def lines_of(found: Converted, recipe: Recipe) -> list[str]:
    """What was done with an adapter, in a few lines, and the next command."""
    from compacter_cli.data.dataset import with_prefix
    from compacter_cli.tasks import task_of

    title = f"{recipe.method.title} on {found['task']}"
    text = with_prefix(task_of(recipe).shape[1], found["prefix"])
    reads = f"texts are read as in training: {text}"
    if "folded" in found:
        return [*_folded(title, found), reads, *_use_of_folded(found)]
    return [*_written(title, found), reads, *_use_of_adapter(found)]


def lines_of_backbone(found: ConvertedBackbone) -> list[str]:
    """What was done with a backbone, in a few lines, and the next command."""
    preset = shlex.quote(os.path.abspath(found["directory"]))
    return [
        f"{counted(found['tensors'], 'weight tensor')} ({found['parameters']:,} parameters), in "
        f"float32; {counted(found['pieces'], 'piece')} over {found['rows']:,} rows of embedding",
        f"read again: the same fingerprint, {found['fingerprint'][:12]}…; adapters of one load on "
        "the other",
        f"wrote {found['directory']}; {_READS[found['to']]}",
        f"\nnext: compacter train --recipe RECIPE --set backbone.preset={preset}",
    ]


_READS = {
    "keras-hub": "backbone.preset and KerasHub's from_preset take it",
    "hf": "backbone.preset and transformers' from_pretrained take it",
}


_ANSWERS = {
    "keras-hub": "keras_hub.models.T5Seq2SeqLM.from_preset({}).generate(text)",
    "hf": "transformers.T5ForConditionalGeneration.from_pretrained({}).generate(ids)",
}


_LOADS = {
    "adapterhub": "load_adapter of the library adapters takes it",
    "peft": "PeftModel.from_pretrained takes it",
}


def _folded(title: str, found: Converted) -> list[str]:
    folded, compared = found.get("folded"), found.get("compared")
    assert folded is not None
    assert compared is not None
    untied = "; its head, trained as a copy, is untied" if folded["untied"] else ""
    return [
        f"{title}, folded into {folded['tensors']:,} of "
        f"{folded['of_tensors']:,} weight tensors ({folded['parameters']:,} of "
        f"{folded['of_parameters']:,} parameters), in float32{untied}",
        f"largest difference of the logits: {compared['largest_difference']:.2g} (they reach "
        f"{compared['largest_logit']:.4g}), on "
        f"{counted(compared['examples'], 'example')}: {compared['on']}",
    ]


def _use_of_folded(found: Converted) -> list[str]:
    preset = os.path.abspath(found["directory"])
    return [
        f"wrote {found['directory']}; {_READS[found['to']]}",
        f"\nnext: answer with it, in Python: {_ANSWERS[found['to']].format(repr(preset))}",
    ]


def _written(title: str, found: Converted) -> list[str]:
    tensors, parameters = found.get("tensors", 0), found.get("parameters", 0)
    return [f"{title}: {counted(tensors, 'tensor')}, {counted(parameters, 'parameter')}"]


def _use_of_adapter(found: Converted) -> list[str]:
    if found["to"] != "compacter":
        return [f"wrote {found['directory']}; {_LOADS[found['to']]}"]
    run = shlex.quote(found["directory"])
    wrote = f"wrote {found['directory']}, which evaluate and predict take as a run"
    return [wrote, f"\nnext: compacter evaluate --run {run}"]
