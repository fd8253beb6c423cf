"""What a pretraining says at its beginning and its end; nothing here prints."""

import shlex
from pathlib import Path

from compacter_cli.commands.console import table_of
from compacter_cli.files import size_text
from compacter_cli.training.report import warmup_note
from compacter_cli.training.run_directory import RECIPE, environment


def opening_lines(session):
    """What a pretraining is about to do, in a few lines."""
    recipe, corpus, shape = session.recipe, session.corpus, session.model.shape
    pieces = session.batches.spans.pieces
    practised = f", {len(corpus.exercises):,} exercises" if corpus.exercises else ""
    repeated = f", {corpus.repeated:,} repeated ones left out" if corpus.repeated else ""
    fewer = recipe.vocabulary.size - len(session.vocabulary)
    asked = f" ({recipe.vocabulary.size:,} asked for: the text has no more)" if fewer else ""
    done = session.progress.step
    return [
        f"text        {len(corpus.train):,} passages ({len(pieces.ids):,} tokens in "
        f"{len(pieces):,} pieces), {len(corpus.validation):,} held out{repeated}{practised}",
        f"vocabulary  {len(session.vocabulary):,} pieces{asked}, "
        f"{recipe.vocabulary.sentinels} of them sentinels",
        f"T5          {shape.parameters():,} parameters from random weights, float32 on "
        f"{session.device}",
        f"training    {_training_words(session)}",
        f"writing to  {session.directory}" + (f", from step {done} on" if done else ""),
    ]


def _training_words(session):
    train, batches = session.recipe.train, session.batches
    if not train.steps:
        return "none, the random start is written"
    return (
        f"{train.steps:,} steps of {batches.read} pieces"
        + (f" and {batches.practised} exercises" if batches.practised else "")
        + f", the text {times_seen(session):.1f} times, rate {train.learning_rate:g}"
        + warmup_note(train, train.steps)
    )


def times_seen(session):
    """How many times a pretraining sees its text."""
    return session.recipe.train.steps * session.batches.read / len(session.batches.spans)


def resume_command(directory):
    """The command that continues an interrupted pretraining."""
    recipe, output = shlex.quote(str(directory / RECIPE)), shlex.quote(str(directory))
    return f"compacter pretrain --recipe {recipe} --output {output} --resume"


def result_of(session, stored_loss, fingerprint, size):
    """A pretraining's result as plain data: what `pretraining.json` holds."""
    recipe, progress, corpus = session.recipe, session.progress, session.corpus
    machine = environment(session.device)
    return {
        "seed": recipe.seed,
        "steps": progress.step,
        "text": {
            "passages": len(corpus.train),
            "held_out": len(corpus.validation),
            "repeated": corpus.repeated,
            "tokens": len(session.batches.spans.pieces.ids),
            "times_seen": times_seen(session),
            "sha256": corpus.sha256,
        },
        "vocabulary": len(session.vocabulary),
        "parameters": session.model.shape.parameters(),
        "validation_loss": {
            "start": progress.start_loss,
            "end": progress.loss,
            "stored": stored_loss,
        },
        "precision": recipe.output.precision,
        "weights_bytes": size,
        "fingerprint": fingerprint,
        "training_seconds": progress.seconds,
        "versions": {key: machine[key] for key in ("compacter", "python", "packages")},
        "device": machine["device"],
        "threads": machine["threads"],
    }


def result_table(result):
    """The validation losses of a result as a table."""
    table = table_of("validation loss", "a token", numbers=("a token",))
    losses = result["validation_loss"]
    table.add_row("random start", f"{losses['start']:.4f}")
    table.add_row(f"after {result['steps']:,} steps", f"{losses['end']:.4f}")
    table.add_row(f"as stored, in {result['precision']}", f"{losses['stored']:.4f}")
    return table


def closing_lines(result):
    """What it took, and the next command."""
    preset = shlex.quote(str(Path(result["preset"]).absolute()))  # demo/t5 is also a name
    return [
        f"{result['parameters']:,} parameters, weights file {size_text(result['weights_bytes'])}, "
        f"{result['training_seconds']:.0f} s",
        f"next: compacter train --recipe glue/rte_compacterpp.toml --set backbone.preset={preset}",
    ]
