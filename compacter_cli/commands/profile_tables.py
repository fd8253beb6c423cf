"""A profile as tables and lines; nothing here prints."""

from compacter_cli.commands.console import table_of
from compacter_cli.files import size_text
from compacter_cli.profiling.deltas import DEFINITION

PAPER = (
    "paper: its Table 3 recomputed by the same definition (T5-base, one epoch of MNLI at the "
    "largest batch of 24 GB; n = 4, d = 24, 100 prompts, said at d' = 1,400)"
)


def cost_table(found):
    """What a step of each method takes."""
    names = ["%", "% own", "ms/step", "min-max", "tokens/s", "weights", "growth", "kept"]
    table = table_of("method", *names, numbers=names, tight=True)
    for row in found["methods"]:
        shares = [f"{row[key]:.4f}" if key in row else "-" for key in ("percent", "percent_own")]
        table.add_row(row["method"], *shares, *_costs(row))
    return table


def _costs(row):
    if "failed" in row:
        return ["failed", *["-"] * 5]
    step = row["step_ms"]
    return [
        _time(step["median"]),
        f"{_time(step['min'])}-{_time(step['max'])}",
        f"{row['tokens_per_second']:,.0f}",
        *(_megabytes(row[f"{kind}_bytes"]) for kind in ("weight", "growth", "saved")),
    ]


def delta_table(found):
    """Each method's time and memory against full fine-tuning, beside the paper's, and its epoch."""
    names = ["batch", "ms/example", "time", "paper", "MB/example", "memory", "paper ", "epoch"]
    table = table_of("method", *names, numbers=names, tight=True)
    for row in found["methods"]:
        deltas, papers = row.get("delta_percent") or {}, row["paper_delta_percent"]
        there = "failed" not in row
        table.add_row(
            row["method"],
            f"{row['batch']:,}" if there else "-",
            _time(row["example_ms"]) if there else "-",
            _percent(deltas.get("time")),
            _percent(papers["time"]),
            _megabytes(row["example_bytes"]) if there else "-",
            _percent(deltas.get("memory")),
            _percent(papers["memory"]),
            duration(row["epoch"]["seconds"]) if row.get("epoch") else "-",
        )
    return table


def heading(found):
    """What was measured, and where."""
    batch = "the largest batch" if found["budget_bytes"] else f"batch {found['batch']}"
    times = f" x {found['accumulate']} accumulated" if found["accumulate"] > 1 else ""
    within = f" within {size_text(found['budget_bytes'])}" if found["budget_bytes"] else ""
    return (
        f"{found['backbone']}, random weights, {batch}{times}{within}, "
        f"{found['source']} source and {found['target']} target tokens, "
        f"{found['precision']} on {found['device_name']}, "
        f"{found['threads']} thread{'s' * (found['threads'] > 1)}, torch {found['torch']}"
    )


def legend(found):
    """What the columns mean, and why a method failed, a line each."""
    for row in found["methods"]:
        if "failed" in row:
            yield f"{row['method']}: {row['failed']}"
    yield (
        "%: trained, as the paper counts (at most 32,100 rows of vocabulary); % own: of the "
        "backbone as it is"
    )
    yield (
        f"ms/step: median of {found['steps']} whole training steps; tokens/s: source and target, "
        "padding and prompts not counted"
    )
    yield f"in MB, weights: all constants too; {_growth(found)}; kept: tensors kept for backward"
    for row in found["methods"]:
        if row.get("epoch"):
            epoch = row["epoch"]
            yield (
                f"epoch: {found['task']} at its real lengths, {epoch['mean_source_tokens']:.0f} "
                f"source tokens on average in the vocabulary of {found['vocabulary']}; "
                f"{epoch['timed_examples']:,} of {epoch['examples']:,} examples timed"
            )
            break
    yield f"time, memory: {DEFINITION}, of ms and of weights + growth an example"
    yield PAPER


def _growth(found):
    if found["device"].startswith("cuda"):
        return "growth: what the allocator gave out more at the peak of a step"
    return "growth: of the process (RSS) to its peak in the steps"


def duration(seconds):
    """Seconds as people read them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _time(milliseconds):
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _megabytes(count):
    return f"{count / 1e6:,.0f}" if count >= 1e7 else f"{count / 1e6:.2f}"


def _percent(value):
    return "-" if value is None else f"{value:+.2f}"
