"""What `train --dry-run` expects of a run beside what the run then takes: time and peak memory.

    python benchmarks/forecast.py
    python benchmarks/forecast.py --rte DIR --preset DIR
    python benchmarks/forecast.py --recipe demo/entailment_lora

Each recipe is forecast and then trained, at once and by whole processes of the command line, with a
cache of its own: steps that were measured another day are not taken. Own data are 2,000 rows of the
demo's sentiments in a CSV file. RTE is trained where its original files and a T5 are given.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from ending import errors_told
from shared_options import JsonOption, RteOption

from compacter_cli.commands.console import err, out, table_of
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import size_text

DEMO = {
    "entailment, compacterpp": ("demo/entailment_compacterpp",),
    "entailment, full": ("demo/entailment_full",),
}
OWN_ROWS = 2_000


def main(
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Instead of those of the demo and own data. Repeatable."),
    ] = None,
    rte: RteOption = None,
    preset: Annotated[str | None, typer.Option(help="For --rte: directory of a T5.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Of all recipes.")] = None,
    threads: int = 2,
    device: str = "cpu",
    json_: JsonOption = None,
):
    """Print a line a recipe: forecast, measured, and measured over forecast."""
    if (rte is None) != (preset is None):
        raise UsageError("--rte and --preset belong together")
    how = ["--device", device, "--threads", str(threads)]
    with tempfile.TemporaryDirectory() as folder:
        recipes = {name: (name,) for name in recipe or ()}
        if not recipes:
            recipes = {**DEMO, "own CSV, compacterpp": own_data(Path(folder))}
        if rte and preset:
            recipes["RTE, compacterpp"] = rte_data(rte, preset)
        found = {}
        for number, (name, (file, *sets)) in enumerate(recipes.items()):
            err.print(f"{name} ...", style="dim")
            words = ["train", "--recipe", file, "--output", f"{folder}/{number}", *how]
            words += [word for key in (*sets, *(set_ or ())) for word in ("--set", key)]
            found[name] = both(words, Path(folder) / "cache")
    show(found)
    if json_:
        json_.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def own_data(folder):
    """A recipe of own data and its settings, both of whose files are written here."""
    import tomli_w

    from compacter_cli.tasks import TASKS

    rows = TASKS["demo/sentiment"].generate()["train"][:OWN_ROWS]
    with (folder / "own.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = " ".join(f"{{{name}}}" for name in TASKS["demo/sentiment"].fields)
    tables = {
        "task": "csv",
        "backbone": {"preset": "demo/t5"},
        "method": {"name": "compacterpp"},
        "data": {
            "train": str(folder / "own.csv"),
            "source": f"sentence: {text}",
            "target": "{label}",
            "labels": ["0", "1"],
        },
        "train": {"epochs": 10, "batch_size": 20, "warmup_steps": 20},
    }
    (folder / "own.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
    return (str(folder / "own.toml"),)


def rte_data(folder, preset):
    """A recipe's name and settings for three epochs of RTE."""
    sets = (f"data.folder={folder}", f"backbone.preset={preset}", "train.epochs=3")
    return ("glue/rte_compacterpp", *sets)


def both(words, cache):
    """Seconds and bytes of a run, forecast and measured."""
    told = asked([*words, "--dry-run"], cache)["forecast"]
    if told is None:
        raise CompacterError("nothing could be forecast", "is there memory for two such steps?")
    result = asked(words, cache)
    return {
        "forecast_s": told["seconds"],
        "forecast_bytes": told["peak_bytes"] + told["frameworks_bytes"],
        "s": result["training_seconds"],
        "bytes": result["peak_memory_bytes"],
    }


def asked(words, cache):
    """What a command prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "compacter_cli", *words, "--json"],
        env={**os.environ, "COMPACTER_CACHE": str(cache)}, text=True, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        raise CompacterError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def show(found):
    """Print a line a recipe."""
    numbers = ("forecast s", "s", "ratio", "forecast", "memory", "ratio ")
    table = table_of("", *numbers, numbers=numbers)
    for name, case in found.items():
        table.add_row(
            name,
            f"{case['forecast_s']:.1f}",
            f"{case['s']:.1f}",
            f"{case['s'] / case['forecast_s']:.2f}",
            size_text(case["forecast_bytes"]),
            size_text(case["bytes"]),
            f"{case['bytes'] / case['forecast_bytes']:.2f}",
        )
    out.print(table)


if __name__ == "__main__":
    with errors_told():
        typer.run(main)
