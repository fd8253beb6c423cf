"""Recipes and rows that are anything at all: a result, or an error that a user can read.

Each property is tried with few examples, always the same ones. For more, and others each time:
COMPACTER_FUZZ_EXAMPLES=5000.
"""

import json
import os
import string
from contextlib import contextmanager

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compacter_cli.data.original_lines import split_rows
from compacter_cli.data.text_rows import read_rows
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import Recipe, load_recipe, recipe_of
from compacter_cli.recipe.tables import override
from compacter_cli.tasks import TASKS

LONGER = os.environ.get("COMPACTER_FUZZ_EXAMPLES")  # as many, and others each time
settings.register_profile(
    "faults",
    max_examples=int(LONGER or 150),
    derandomize=not LONGER,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # files are written over, and slow where loaded
)
fuzzed = settings.get_profile("faults")

SOUND = {
    "task": "jsonl",
    "backbone": {"preset": "random/tiny"},
    "method": {"name": "compacterpp"},
    "data": {"train": "rows.jsonl", "source": "text: {text}", "target": "{label}"},
}
SECTIONS = ("task", "seed", "backbone", "method", "data", "train", "output", "more")
KEYS = tuple(
    dict.fromkeys(
        (
            *("preset", "precision", "name", "bottleneck", "n", "rank", "train", "validation"),
            *("source", "target", "labels", "metrics", "source_length", "epochs", "batch_size"),
            *("learning_rate", "dropout", "root", "activation", "after", "folder", "archive"),
        )
    )
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2**31, 2**63, 10**30, -1, 10**300])
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["jsonl", "glue/rte", "said", "full", "random/tiny", "demo/t5", "{text}", "{", "~", "~nobody"]
)
VALUES = st.recursive(
    st.booleans() | NUMBERS | TEXTS | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TABLES = st.dictionaries(
    st.sampled_from(SECTIONS) | TEXTS,
    VALUES | st.dictionaries(st.sampled_from(KEYS) | TEXTS, VALUES, max_size=4),
    max_size=5,
)
CHARACTERS = st.text(
    st.characters(codec=None) | st.sampled_from("\0\n\r\t\"'[]{}.=,#\\\ud83d\ufeff")
)


@contextmanager
def told(begin=""):
    """Nothing is raised, or an error of one line that a user can read."""
    try:
        yield
    except CompacterError as error:
        message = str(error)
    else:
        return
    assert message.startswith(begin)
    assert 0 < len(message) < 20_000
    assert "\n" not in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@fuzzed
@given(TABLES, st.booleans())
def test_any_tables_are_a_recipe_or_told(tables, beside):
    for name, sound in SOUND.items() if beside else ():
        found = tables.get(name, sound)
        both = isinstance(found, dict) and isinstance(sound, dict)
        tables[name] = {**sound, **found} if both else found
    with told():
        assert isinstance(recipe_of(tables, "here"), Recipe)


@fuzzed
@given(CHARACTERS.map(lambda text: text.encode(errors="surrogatepass")) | st.binary())
def test_any_bytes_are_a_recipe_or_told(folder, data):
    path = folder / "recipe.toml"
    path.write_bytes(data)
    with told():
        load_recipe(str(path))


@fuzzed
@given(st.lists(st.tuples(st.sampled_from(SECTIONS), st.sampled_from(KEYS), VALUES), max_size=3))
def test_any_values_that_are_set_are_a_recipe_or_told(folder, values):
    path = folder / "sound.toml"
    path.write_text(tomli_w.dumps(SOUND), encoding="utf-8")
    with told():
        load_recipe(str(path), [f"{section}.{key}={value}" for section, key, value in values])


@fuzzed
@given(st.lists(CHARACTERS | TEXTS, max_size=3))
def test_any_texts_that_are_set_are_tables_or_told(texts):
    with told():
        assert isinstance(override({}, texts), dict)


def rows_of(folder, form, data):
    path = folder / f"rows.{form}"
    path.write_bytes(data)
    found = []
    with told(str(path)):
        found = list(read_rows(path, form, ("text", "label")))
    for _, row in found:
        for name in ("text", "label"):
            assert isinstance(row[name], (str, int, float))
            str(row[name]).encode()


@fuzzed
@given(st.sampled_from(["jsonl", "csv", "tsv"]), CHARACTERS | st.binary())
@pytest.mark.parametrize("header", [b"", b"text,label\n", b"text\tlabel\n", b'{"text": "a", "'])
def test_any_bytes_are_rows_or_told_by_their_line(folder, header, form, data):
    data = data if isinstance(data, bytes) else data.encode(errors="surrogatepass")
    rows_of(folder, form, header + data)


@fuzzed
@given(st.lists(st.dictionaries(st.sampled_from(["text", "label"]) | TEXTS, VALUES, max_size=3)))
def test_any_objects_are_rows_or_told_by_their_line(folder, rows):
    lines = [json.dumps(row, default=str) for row in rows]
    rows_of(folder, "jsonl", "\n".join(lines).encode())


JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.sampled_from(string.printable + "\0\ud83d")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["text", "questions", "question", "answers", "label", "idx", "entities",
                         "start", "end", "query", "qas", "passage"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
LINES = st.dictionaries(
    st.sampled_from(["premise", "hypothesis", "label", "idx", "passage", "qas"]), JSON, max_size=6
)


@fuzzed
@given(
    st.sampled_from(sorted(name for name in TASKS if "glue" in name)),
    LINES.map(lambda line: json.dumps(line).encode()) | st.binary() | CHARACTERS,
)
def test_any_original_line_is_a_row_or_told(name, data):
    data = data if isinstance(data, bytes) else data.encode(errors="surrogatepass")
    with told("file"):
        split_rows(TASKS[name], "train", data, "file")
