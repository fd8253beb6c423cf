import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer

from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.tables import is_pretraining, read_tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
)


def blocks(of=PAGES):
    """The code of pages as (language, text): fenced blocks, and indented ones as "text"."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = [(match[1], match[2]) for match in fenced.finditer(of)]
    rest = fenced.sub("", of)
    indented = re.compile(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", re.MULTILINE)
    return found + [("text", match[0]) for match in indented.finditer(rest)]


def command_lines():
    """Every `compacter ...` of the README: of its blocks, and between backticks in its text."""
    lines = []
    for language, text in blocks():
        if language != "python":
            joined = re.sub(r"\\\n\s*", " ", text)
            lines += [part for line in joined.splitlines() for part in line.split("&&")]
    lines += re.findall(r"(?<!`)`(compacter [^`\n]+)`(?!`)", PAGES)
    lines = [line.strip().removeprefix("$ ").removeprefix("next: ") for line in lines]
    return sorted({line for line in lines if re.match(r"compacter [a-z-]", line)})


def parse(line):
    """The options and arguments of a command line by name; nothing is run.

    Raises:
        Exception: there is no such command or option, or a value is of the wrong type.
    """
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "..."]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.get_command(None, words.pop(0))
    if hasattr(command, "commands"):
        raise ValueError(f"no such command: {line}")
    return command.make_context(line.split()[1], words).params


def test_the_readme_shows_every_command():
    lines = command_lines()
    assert len(lines) >= 6
    for name in ("train", "evaluate", "predict", "count-params"):
        assert any(line.startswith(f"compacter {name}") for line in lines), name


@pytest.mark.parametrize("line", command_lines())
def test_a_command_of_the_readme_parses(line):
    assert parse(line)


@pytest.mark.parametrize(
    "line",
    ["compacter trian --recipe x", "compacter train --receipt x", "compacter train --seed many"],
)
def test_a_wrong_command_would_be_noticed(line):
    with pytest.raises(Exception, match=r"(?i)no such|valid integer"):
        parse(line)


@pytest.mark.parametrize("line", [line for line in command_lines() if "--recipe" in line])
def test_a_recipe_of_the_readme_is_shipped_and_has_the_keys_that_are_set(line):
    options = parse(line)
    given = options["recipe"]  # sweep takes several
    _, tables = read_tables(given[0] if isinstance(given, list) else given)
    if not line.startswith("compacter validate"):  # which takes both kinds
        assert is_pretraining(tables) == line.startswith("compacter pretrain")
    for text in options.get("set_") or []:
        if not is_pretraining(tables) and not text.startswith(("data.", "backbone.")):
            assert load_recipe(given[0] if isinstance(given, list) else given, [text]), text


@pytest.mark.parametrize(
    "code", [text for language, text in blocks() if language == "python"], ids=lambda _: "code"
)
def test_python_of_the_readme_parses_and_imports_what_there_is(keras, code):
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "dask_jobqueue":  # a cluster's
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module}.{name.name}"


def test_every_room_of_the_tree_is_there_and_no_other():
    (tree,) = [text for _, text in blocks(README) if "in rooms that import one way" in text]
    rooms = re.search(r"one way: ([\w, \n]+?)\n +layers/", tree)[1]
    package = ROOT / "compacter_cli"
    found = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"\w+", rooms)) == found
    for folder in re.findall(r"^ *(\w+)/", tree, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_linked_files_are_there():
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
