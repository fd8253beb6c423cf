"""The one definition of a delta against full fine-tuning, for our figures and for the paper's."""

from compacter_cli.paper.tables import paper_tables
from compacter_cli.profiling.rows import Deltas, Measured, Row

DEFINITION = "(x - full) / full"
NO_DELTAS: Deltas = {"time": None, "memory": None}


def delta(value: float, full: float) -> float:
    """How much more than full fine-tuning, in percent of full fine-tuning's own figure."""
    return 100 * (value - full) / full


def paper_deltas(method: str) -> Deltas:
    """The paper's Table 3 by `DEFINITION`, from its raw columns: time and memory, in percent.

    The printed memory column divides by the method's own figure instead. Both kinds of prompt
    tuning have one row, and a method that is not in the paper has none.
    """
    table = paper_tables()["table3"]
    full, row = table["full"], table.get("prompt" if method.startswith("prompt_") else method)
    if row is None:
        return NO_DELTAS
    return {
        "time": delta(row["minutes_per_epoch"], full["minutes_per_epoch"]),
        "memory": delta(row["memory_mb"], full["memory_mb"]),
    }


def with_deltas(rows: list[Row]) -> list[Row]:
    """The rows, each that was measured with its deltas against that of `full`, if there is one.

    Both are of an example's share, so that rows of different batches compare as the paper's do.
    """
    full = next((row for row in rows if "failed" not in row and row["method"] == "full"), None)
    return [row if "failed" in row else _with_deltas(row, full) for row in rows]


def _with_deltas(row: Measured, full: Measured | None) -> Measured:
    if full is None:
        return {**row, "delta_percent": None}
    time = delta(row["example_ms"], full["example_ms"])
    memory = delta(row["example_bytes"], full["example_bytes"])
    return {**row, "delta_percent": {"time": time, "memory": memory}}
