"""TOML of anybody's: what no recipe needs is refused in a moment and in one line."""

import contextlib
import time
import tomllib

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.recipe.shipped import LARGEST
from compacter_cli.recipe.tables import DEEPEST, override, parse, read_tables

MANY = 50_000
DIGITS = "9" * 5_000
# What is given, and what is said of it.
HOSTILE = {
    "lists that never end": ("a = " + "[" * MANY, "nested deeper"),
    "lists": ("a = " + "[" * 5_000 + "]" * 5_000, "nested deeper"),
    "lists that tomllib reads": ("a = " + "[" * 300 + "]" * 300, "nested deeper"),
    "tables": ("a = " + "{a=" * 5_000, "nested deeper"),
    "a key of many parts": (".".join("a" * MANY) + " = 1", "more than 16 parts"),
    "with spaces": (" . ".join("a" * MANY) + " = 1", "more than 16 parts"),
    "of texts": (".".join(['"a.b"', "'c'"] * 10_000) + " = 1", "more than 16 parts"),
    "a table of many parts": ("[" + ".".join("a" * MANY) + "]", "more than 16 parts"),
    "in a table": ("a = {" + ".".join("a" * MANY) + " = 1}", "more than 16 parts"),
    "behind a text": ('a = "\\"."\n' + ".".join("a" * MANY) + " = 1", "more than 16 parts"),
    "an integer": (f"seed = {DIGITS}", "an integer of thousands of digits"),
    "an integer below": (f"a.b = [{{c = {DIGITS}}}]", "an integer of thousands of digits"),
    "another base": ("seed = 0x" + "f" * 5_000, "an integer of 20,000 bits"),
}


@pytest.fixture
def file(tmp_path):
    """Writes a recipe and gives its path."""

    def file(text):
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return file


def seconds_of(call, *given):
    """How long a call takes that may raise a `UsageError`."""
    began = time.process_time()
    with contextlib.suppress(UsageError):
        call(*given)
    return time.process_time() - began


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_recipe_is_one_line_in_a_moment(file, what):
    text, said = HOSTILE[what]
    name = file(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_tables(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert len(message) < len(name) + 200
    assert seconds_of(read_tables, name) < 1


@pytest.mark.parametrize("what", [what for what in HOSTILE if HOSTILE[what][0].startswith("a = ")])
def test_a_hostile_value_is_refused_as_one(what):
    text, said = HOSTILE[what]
    value = text.partition("=")[2]
    with pytest.raises(UsageError, match=said) as caught:
        override({}, [f"data.source={value}"])
    message = str(caught.value)
    assert message.startswith("--set data.source=")
    assert len(message) < 300


@pytest.mark.parametrize("value", [DIGITS, "0x" + "f" * 5_000])
def test_a_hostile_integer_is_refused_as_one(value):
    with pytest.raises(UsageError, match="holds an integer"):
        override({}, [f"seed={value}"])


def test_a_set_key_of_many_parts_is_refused():
    with pytest.raises(UsageError, match="the key has more than 16 parts") as caught:
        override({}, [".".join("a" * MANY) + "=1"])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["data.source=a\udcffb", "a\udcff=1", "data.source=a\0b"])
def test_a_set_that_no_file_can_hold_is_refused(text):
    with pytest.raises(UsageError) as caught:
        override({}, [text])
    assert str(caught.value).isprintable()


def test_as_many_parts_and_levels_as_are_allowed_are_read():
    key = ".".join("a" * DEEPEST)
    assert list(parse(f"{key} = 1")) == list(override({}, [f"{key}=1"])) == ["a"]
    assert parse("a = " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))


@pytest.mark.parametrize(
    "value",
    [
        '"' + "a." * 100 + '"',
        "'" + "a." * 100 + "'",
        '"""\n' + "a." * 100 + '\n"""',
        '""""a"." ' + "a." * 100 + '"""""',
        "'''it's " + "a." * 100 + "''''",
        '"\\"' + "a." * 100 + '\\\\"',
        "1 # " + "a." * 100,
        "[" + "1.5, " * 100 + "]",
        "[" + "2020-01-01T00:00:00.5, " * 100 + "]",
    ],
)
def test_dots_that_are_in_no_key_are_no_key(value):
    text = f"before = 1\nvalue = {value}\nafter = 1\n"
    assert parse(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * LARGEST,
        "a " * (LARGEST // 2),
        '"""\\' * (LARGEST // 4),
        '"""\\"' * (LARGEST // 5) + "\\",
        "'" * LARGEST,
        "a.b." * 7 + " " * LARGEST,
        "".join(f"b{number}.{'.'.join('a' * 15)} = 1\n" for number in range(LARGEST // 40)),
        "".join(f"[b{number}.{'.'.join('a' * 15)}]\n" for number in range(LARGEST // 40)),
    ],
)
def test_no_text_of_a_recipes_size_takes_long(text):
    began = time.process_time()
    with contextlib.suppress(ValueError):
        parse(text)
    assert time.process_time() - began < 10  # two seconds at most here


def test_what_is_far_too_large_is_no_recipe(file):
    with pytest.raises(UsageError, match="262,144 bytes at most"):
        read_tables(file("a = '" + "x" * LARGEST + "'"))
