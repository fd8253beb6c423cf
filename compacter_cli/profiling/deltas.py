"""The one definition of a delta against full fine-tuning, for our figures and for the paper's."""

from compacter_cli.paper.tables import paper_tables

DEFINITION = "(x - full) / full"


def delta(value, full):
    """How much more than full fine-tuning, in percent of full fine-tuning's own figure."""
    return 100 * (value - full) / full


def paper_deltas(method):
    """The paper's Table 3 by `DEFINITION`, from its raw columns: time and memory, in percent.

    The printed memory column divides by the method's own figure instead. Both kinds of prompt
    tuning have one row.
    """
    table = paper_tables()["table3"]
    full = table["full"]
    row = table["prompt" if method.startswith("prompt_") else method]
    return {
        "time": delta(row["minutes_per_epoch"], full["minutes_per_epoch"]),
        "memory": delta(row["memory_mb"], full["memory_mb"]),
    }


def add_deltas(rows):
    """Give every measured row its deltas against the measured row of `full`, if there is one.

    Both are of an example's share, so that rows of different batches compare as the paper's do.
    """
    full = next((row for row in rows if row["method"] == "full" and "failed" not in row), None)
    for row in rows:
        row["paper_delta_percent"] = paper_deltas(row["method"])
        if "failed" not in row:
            row["delta_percent"] = full and {
                "time": delta(row["example_ms"], full["example_ms"]),
                "memory": delta(row["example_bytes"], full["example_bytes"]),
            }
    return rows
