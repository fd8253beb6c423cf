"""A training step of ours against the same step of Hugging Face's peers, in alternation.

    pip install -e ".[peers]" && python benchmarks/against_peers.py --shape small --method compacter
    pip install -e ".[peers-sdpa]" && python benchmarks/against_peers.py --method full --method lora

The first environment has `adapters` and the transformers that it needs, whose T5 attends eagerly;
the second, one of its own, the newest transformers, whose T5 attends by torch's SDPA, and `peft`.
What a row was measured against is printed beside it.

Each side is a process of its own that builds its model once; steps are asked of them in turn, A B
A B, so that whatever else the machine does falls on both. Shapes, random weights' dimensions,
optimizer, clipping, dropout, threads and environment are the same, and both train the same weights.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from ending import errors_told
from setting import METHODS, PEERS, SHAPES, Setting
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
from compacter_cli.errors import CompacterError, UsageError

SIDES = ("ours", "peer")
SIDE = Path(__file__).with_name("side.py")


def main(
    method: Annotated[
        list[str] | None, typer.Option(help="Repeatable; all that have a peer by default.")
    ] = None,
    shape: ShapesOption = None,
    batch: BatchOption = 16,
    source: int = 128,
    target: int = 4,
    bottleneck: int = 16,
    rank: RankOption = 8,
    threads: int = 2,
    device: str = "cpu",
    precision: str = "float32",
    runs: RunsOption = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps a side in one alternation.")] = 1,
    growth: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Batch, depth and length so many times, too. Repeatable."),
    ] = None,
    ragged: RaggedOption = False,
    rte: RteOption = None,
    vocabulary: VocabularyOption = None,
    share: ShareOption = 0.1,
    json_: JsonOption = None,
):
    """Print ratios of ours to the peer's: below 1 is less time or memory."""
    first = Setting(
        method=METHODS[0], batch=batch, source=source, target=target, bottleneck=bottleneck,
        rank=rank, threads=threads, device=device, precision=precision, ragged=ragged,
        rte=rte, vocabulary=vocabulary, share=share,
    )  # fmt: skip
    settings = [
        replace(first, method=m, shape=s) for s in shape or ["small"] for m in method or PEERS
    ]
    check(settings)
    if json_ and not json_.absolute().parent.is_dir():
        raise UsageError(f"--json {json_}: there is no folder {json_.parent}")
    found = []
    for setting in (case for chosen in settings for case in cases(chosen, growth or ())):
        err.print(f"{setting.title} ...", style="dim")
        found.append(compare(setting, sides_of(setting), runs, steps))
    show(found)
    if json_:
        json_.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def check(settings):
    """Refuse what neither side can build.

    Raises:
        UsageError: an unknown method or shape, or an epoch without a vocabulary.
    """
    for setting in settings:
        for word, known in ((setting.method, METHODS), (setting.shape, SHAPES)):
            if word not in known:
                raise UsageError(f'"{word}" is none of {", ".join(known)}')
        if setting.rte and not setting.vocabulary:
            raise UsageError("--rte needs --vocabulary, a preset directory or the word rule")


def sides_of(setting):
    """Both sides where the peer can be built, of the method and in this environment."""
    needed = PEERS.get(setting.method)
    if needed is None:
        err.print(f"{setting.method} has no peer: ours runs alone")
    elif importlib.util.find_spec(needed):
        return SIDES
    else:
        err.print(f"{needed} is not installed (pip install -e '.[peers]'): ours runs alone")
    return SIDES[:1]


def cases(setting, growth):
    """A setting, and batch, depth and source each times every number of `growth`."""
    larger = [
        replace(setting, **{key: times * getattr(setting, key)})
        for key in ("batch", "depth", "source")
        for times in growth
    ]
    return [setting, *larger]


def compare(setting, sides, runs, steps):
    """Figures of a setting by side, and ratios of ours to the peer's where both are there."""
    with ExitStack() as stack:
        sides_asked = {name: stack.enter_context(side_process(name, setting)) for name in sides}
        figures = {
            name: {**ask(side=name, **setting.as_data()), "runs_ms": [], "epochs_s": []}
            for name, ask in sides_asked.items()
        }
        for _ in range(runs):
            for name, ask in sides_asked.items():
                times = ask(do="steps", count=steps)
                figures[name]["runs_ms"].append(statistics.median(times))
                if setting.rte:
                    figures[name]["epochs_s"].append(ask(do="epoch"))
        for name, ask in sides_asked.items():
            figures[name] |= _summary(setting, ask, figures[name])
    return {"setting": setting.as_data(), **figures, "ratios": ratios(figures)}


def _summary(setting, ask, figures):
    """A side's medians, and on a GPU how near the peak of its matrix products it comes."""
    found = {"step_ms": statistics.median(figures["runs_ms"]), "operations": ask(do="operations")}
    found["name"] = ask(do="name")
    if setting.rte:
        found["epoch_s"] = statistics.median(figures["epochs_s"])
    if setting.device.startswith("cuda"):
        found["flops"] = ask(do="flops")
        found["matmul_peak"] = ask(do="matmul_peak")
        rate = 1000 * found["flops"] / found["step_ms"]
        found["peak_share"] = rate / found["matmul_peak"]
    return found


@contextmanager
def side_process(name, setting):
    """A side in a process of its own, ended with the context; yields the function that asks it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(SIDE)], **pipes) as process:

        def ask(**request):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise CompacterError(f"{name}, {setting.title}: ended with {process.wait()}")
            return json.loads(line)

        try:
            yield ask
        finally:
            process.kill()


def ratios(figures):
    """Ours over the peer's; `None` without a peer. `paired` is the median over the runs."""
    if "peer" not in figures:
        return None
    ours, peer = figures["ours"], figures["peer"]
    pairs = zip(ours["runs_ms"], peer["runs_ms"], strict=True)
    found = {"paired": statistics.median(a / b for a, b in pairs)}
    for key in ("step_ms", "saved_bytes", "growth_bytes", "epoch_s"):
        if key in ours:
            found[key] = ours[key] / peer[key]
    return found


def show(found):
    """Print the figures of both sides, then the ratios."""
    rows = [(case, name, _cells(case[name])) for case in found for name in SIDES if name in case]
    numbers = {column: None for _, _, cells in rows for column in cells}
    table = table_of("", "side", *numbers, numbers=numbers)
    for case, name, cells in rows:
        title = Setting(**case["setting"]).title if name == SIDES[0] else case[name]["name"]
        table.add_row(title, name, *(cells.get(column, "-") for column in numbers))
    out.print(table)
    names = {"step_ms": "ms", "paired": "paired", "saved_bytes": "kept"}
    names |= {"growth_bytes": "growth", "epoch_s": "epoch"}
    table = table_of("ours / peer", *names.values(), numbers=names.values())
    for case in found:
        if case["ratios"]:
            cells = (f"{case['ratios'][k]:.3f}" if k in case["ratios"] else "-" for k in names)
            table.add_row(Setting(**case["setting"]).title, *cells)
        if len({case[name]["trained"] for name in SIDES if name in case}) > 1:
            err.print(f"note: {Setting(**case['setting']).title}: the sides train unlike numbers")
    if table.rows:
        out.print()
        out.print(table)


def _cells(side):
    """Figures by column; only what was measured."""
    cells = {
        "trained": f"{side['trained']:,}",
        "ms": f"{side['step_ms']:,.1f}",
        "ops": f"{sum(side['operations'].values()):,}",
        "kept MB": f"{side['saved_bytes'] / 1e6:,.1f}",
        "growth MB": f"{side['growth_bytes'] / 1e6:,.0f}",
    }
    if "epoch_s" in side:
        cells["epoch s"] = f"{side['epoch_s']:.1f}"
    if "peak_share" in side:
        cells["of peak"] = f"{side['peak_share']:.1%}"
    return cells


if __name__ == "__main__":
    with errors_told():
        typer.run(main)
