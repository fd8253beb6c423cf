"""How near a training step is to its matrix products: their time alone over the step's.

    python benchmarks/floor.py --shape base --batch 16
    python benchmarks/floor.py --shape base --ragged --device cuda --precision bfloat16 --batch 100

The step is that of `compacter train`, on random weights. The products are those that it cannot do
without; `products.py` says which those are, of which method, and `alone.py` runs them with nothing
between. Both are timed in turn in one process, A B A B; the share is floor / step, 1 at best.
"""

import json
import statistics
from dataclasses import replace
from typing import Annotated

import typer
from against_peers import check, side_process
from ending import errors_told
from setting import Setting
from shared_options import (
    BatchOption,
    JsonOption,
    RaggedOption,
    RankOption,
    RteOption,
    RunsOption,
    ShapesOption,
    ShareOption,
    VocabularyOption,
)

from compacter_cli.commands.console import err, out, table_of

METHODS = ("full", "compacter", "compacterpp", "lora")


def main(
    method: Annotated[list[str] | None, typer.Option(help="Repeatable; four by default.")] = None,
    shape: ShapesOption = None,
    batch: BatchOption = 16,
    source: int = 128,
    target: int = 4,
    bottleneck: int = 24,
    rank: RankOption = 8,
    threads: int = 2,
    device: str = "cpu",
    precision: str = "float32",
    runs: RunsOption = 7,
    steps: Annotated[int, typer.Option(min=1, help="Steps in one alternation.")] = 1,
    ragged: RaggedOption = False,
    rte: RteOption = None,
    vocabulary: VocabularyOption = None,
    share: ShareOption = 0.1,
    json_: JsonOption = None,
):
    """Print the share of the floor in a step, 1 at best."""
    first = Setting(
        method=METHODS[0], batch=batch, source=source, target=target, bottleneck=bottleneck,
        rank=rank, threads=threads, device=device, precision=precision, ragged=ragged, rte=rte,
        vocabulary=vocabulary, share=share,
    )  # fmt: skip
    settings = [
        replace(first, method=m, shape=s) for s in shape or ["small"] for m in method or METHODS
    ]
    check(settings)
    found = []
    for setting in settings:
        err.print(f"{setting.title} ...", style="dim")
        found.append(measured(setting, runs, steps))
    show(found)
    if json_:
        json_.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(setting, runs, steps):
    """Times of a setting's step and of its products, in turn, and their ratios."""
    pairs = []
    with side_process("ours", setting) as ask:
        ask(side="ours", **setting.as_data())
        flops = ask(do="floor_flops")
        for _ in range(runs):
            if setting.rte:
                pairs.append([1000 * seconds for seconds in ask(do="epoch_beside_floor")])
            else:
                step, floor = ask(do="steps", count=steps), ask(do="floor", count=steps)
                pairs.append([statistics.median(step), statistics.median(floor)])
    step, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    shares = sorted(floor / step for step, floor in pairs)
    return {
        "setting": setting.as_data(),
        "flops": None if setting.rte else flops,
        "step_ms": step,
        "floor_ms": floor,
        "share": statistics.median(shares),
        "share_min": shares[0],
        "share_max": shares[-1],
        "pairs_ms": pairs,
    }


def show(found):
    """Print a line a setting."""
    numbers = ("GFLOP", "step ms", "floor ms", "share", "min-max")
    table = table_of("", *numbers, numbers=numbers)
    for case in found:
        setting = Setting(**case["setting"])
        table.add_row(
            setting.title + (", RTE" if setting.rte else ""),
            f"{case['flops'] / 1e9:,.1f}" if case["flops"] else "-",
            f"{case['step_ms']:,.1f}",
            f"{case['floor_ms']:,.1f}",
            f"{case['share']:.3f}",
            f"{case['share_min']:.2f}-{case['share_max']:.2f}",
        )
    out.print(table)


if __name__ == "__main__":
    with errors_told():
        typer.run(main)
