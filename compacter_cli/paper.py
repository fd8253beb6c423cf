"""The paper's reported figures, from `paper_tables.toml`."""

import functools
import tomllib
from importlib.resources import files


@functools.cache
def paper_tables():
    """Tables 1, 2 and 3 as data."""
    text = files("compacter_cli").joinpath("paper_tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def paper_scores(task, method):
    """The paper's score or scores of a method on a task, as a list, or `None` where it has none."""
    tables = paper_tables()
    for benchmark, table in (("glue", "table1"), ("super_glue", "table2")):
        if task.name.startswith(f"{benchmark}/") and method in tables[table]:
            score = tables[table][method]["scores"].get(task.paper)
            return None if score is None else score if isinstance(score, list) else [score]
    return None
