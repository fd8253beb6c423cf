"""The paper's reported figures, from `paper_tables.toml`."""

import functools
import tomllib
from importlib.resources import files


@functools.cache
def paper_tables():
    """Tables 1, 2 and 3 as data."""
    text = files("compacter_cli.paper").joinpath("paper_tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def paper_scores(task, method, n=None):
    """The paper's score or scores of a method on a task, as a list, or `None` where it has none.

    With `n`, the method's hypercomplex division, only a row of the same n counts.
    """
    tables = paper_tables()
    for benchmark, table in (("glue", "table1"), ("super_glue", "table2")):
        row = tables[table].get(method)
        if row and task.name.startswith(f"{benchmark}/") and n in (None, row.get("n")):
            score = row["scores"].get(task.paper)
            return None if score is None else score if isinstance(score, list) else [score]
    return None
