"""Rows answered a second: ours, as `evaluate` and `predict` do it, and `generate` of transformers.

    pip install -e ".[peers]" && python benchmarks/answers.py --shape small --tokens 2 --tokens 16

Greedy decoding of the same token ids on random weights of the same dimensions, in turn, A B A B.
Such weights hardly ever end an answer, and both sides write as many tokens as asked for: 2 are a
label and its end.
"""

import json
import statistics
from contextlib import ExitStack
from typing import Annotated

import typer
from against_peers import SIDES, check, side_process, sides_of
from ending import errors_told
from setting import Setting
from shared_options import BatchOption, JsonOption, RaggedOption, RunsOption

from compacter_cli.commands.console import out, table_of


def main(
    method: Annotated[
        list[str] | None, typer.Option(help="Repeatable; compacter by default.")
    ] = None,
    shape: str = "small",
    batch: BatchOption = 64,
    source: int = 128,
    tokens: Annotated[list[int] | None, typer.Option(help="Of an answer. Repeatable.")] = None,
    threads: int = 2,
    device: str = "cpu",
    precision: str = "float32",
    runs: RunsOption = 5,
    ragged: RaggedOption = False,
    json_: JsonOption = None,
):
    """Print rows a second of both sides, and how many times as many ours answers."""
    settings = [
        Setting(method=name, shape=shape, batch=batch, source=source, threads=threads,
                device=device, precision=precision, ragged=ragged)
        for name in method or ["compacter"]
    ]  # fmt: skip
    check(settings)
    found = [
        {"setting": setting.as_data(), "tokens": count, **rates(setting, count, runs)}
        for setting in settings
        for count in tokens or [2, 16]
    ]
    columns = (*SIDES, "ours / peer")
    table = table_of("rows a second", "tokens", *columns, numbers=("tokens", *columns))
    for case in found:
        cells = (f"{case[name]:,.1f}" if name in case else "-" for name in SIDES)
        ratio = f"{case['ratio']:.2f}" if "ratio" in case else "-"
        table.add_row(Setting(**case["setting"]).title, str(case["tokens"]), *cells, ratio)
    out.print(table)
    if json_:
        json_.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def rates(setting, tokens, runs):
    """Rows a second of each side, and the median of ours over the peer's, pair by pair."""
    with ExitStack() as stack:
        asked = {
            name: stack.enter_context(side_process(name, setting)) for name in sides_of(setting)
        }
        for name, ask in asked.items():
            ask(side=name, **setting.as_data())
            ask(do="answers", tokens=tokens)
        seconds = {name: [] for name in asked}
        for _ in range(runs):
            for name, ask in asked.items():
                seconds[name].append(ask(do="answers", tokens=tokens))
    found = {name: setting.batch / statistics.median(each) for name, each in seconds.items()}
    if "peer" in seconds:
        pairs = zip(seconds["peer"], seconds["ours"], strict=True)
        found["ratio"] = statistics.median(peer / ours for peer, ours in pairs)
    return found


if __name__ == "__main__":
    with errors_told():
        typer.run(main)
