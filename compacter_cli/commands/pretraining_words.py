"""What a pretraining says at its beginning and its end; nothing here prints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.commands.console import table_of
from compacter_cli.errors import counted
from compacter_cli.files import size_text
from compacter_cli.training.words import warmup_note

if TYPE_CHECKING:
    from rich.table import Table

    from compacter_cli.pretraining.records import Pretrained
    from compacter_cli.pretraining.session import PretrainingSession


def opening_lines(session: PretrainingSession) -> list[str]:
    """What a pretraining that has begun is about to do, in a few lines."""
    done = session.progress.step
    return [
        f"text        {_text(session)}",
        f"vocabulary  {_vocabulary(session)}",
        f"T5          {session.model.shape.parameters():,} parameters from random weights, "
        f"float32 on {session.device}",
        f"training    {_training(session)}",
        f"writing to  {session.directory}" + (f", from step {done} on" if done else ""),
    ]


def _text(session: PretrainingSession) -> str:
    corpus, pieces = session.corpus, session.batches.spans.pieces
    exercises = f", {counted(len(corpus.exercises), 'exercise')}" if corpus.exercises else ""
    repeated = f", {corpus.repeated:,} repeated ones left out" if corpus.repeated else ""
    return (
        f"{counted(len(corpus.train), 'passage')} ({counted(len(pieces.ids), 'token')} in "
        f"{counted(len(pieces), 'piece')}), "
        f"{len(corpus.validation):,} held out{repeated}{exercises}"
    )


def _vocabulary(session: PretrainingSession) -> str:
    section, size = session.recipe.vocabulary, len(session.vocabulary)
    fewer = f" ({section.size:,} asked for: the text has no more)" if size != section.size else ""
    return f"{size:,} pieces{fewer}, {section.sentinels} of them sentinels"


def _training(session: PretrainingSession) -> str:
    train, batches = session.recipe.train, session.batches
    if not train.steps:
        return "none, the random start is written"
    return (
        f"{counted(train.steps, 'step')} of {counted(batches.pieces, 'piece')}"
        + (f" and {counted(batches.exercises, 'exercise')}" if batches.exercises else "")
        + f", the text {batches.epochs(train.steps):.1f} times, rate {train.learning_rate:g}"
        + warmup_note(train.warmup_steps, train.learning_rate, train.steps)
    )


def losses_table(result: Pretrained) -> Table:
    """The validation losses of a result."""
    table = table_of("validation loss", "a token", numbers=("a token",))
    losses = result["validation_loss"]
    table.add_row("random start", f"{losses['start']:.4f}")
    table.add_row(f"after {counted(result['steps'], 'step')}", f"{losses['end']:.4f}")
    table.add_row(f"as stored, in {result['precision']}", f"{losses['stored']:.4f}")
    return table


def closing_lines(result: Pretrained) -> list[str]:
    """What it took, and the next command."""
    preset = shlex.quote(str(Path(result["preset"]).absolute()))  # demo/t5 is also a name
    return [
        f"{result['parameters']:,} parameters, weights file {size_text(result['weights_bytes'])}, "
        f"{result['training_seconds']:.0f} s",
        f"next: compacter train --recipe glue/rte_compacterpp.toml --set backbone.preset={preset}",
    ]
