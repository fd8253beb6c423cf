"""Imports go one way: each room imports only from those to its right, and no file from itself."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each may import from those behind it. All at the end are files at the door, not rooms.
ORDER = (
    "__main__", "main", "commands", "api", "reports", "sweeps", "profiling", "pretraining",
    "serving", "training", "exchange", "adapters", "paper", "data",
    "recipe", "methods", "t5", "tasks", "world", "files", "network", "section", "errors",
)  # fmt: skip
PRINTS = ("rich", "compacter_cli.commands.console")  # only commands and the door know them
METHODS_MAY_KNOW = {"compacter_cli.t5.shapes"}  # of the T5: its dimensions, which are no model


def modules(folder, package):
    """`{dotted name: file}` of every module of a package."""
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in folder.rglob("*.py")
    }


CLI = modules(ROOT / "compacter_cli", "compacter_cli")
LAYERS = modules(ROOT / "layers", "compacter_layers")


def imports_of(text):
    """Every module that a source text imports, inner imports included, and names of packages."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in CLI or inner in LAYERS else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def room_of(module):
    """The room or file at the door that a module is in; `None` for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


@functools.cache
def arrows():
    """(importing module, imported module) of every import within the program.

    But for those of its face: `compacter_cli` names what is in the rooms for type checkers, and
    imports it when it is asked for.
    """
    return [
        (module, other)
        for module, path in CLI.items()
        if module != "compacter_cli"
        for other in imports_of(path.read_text(encoding="utf-8"))
        if other.partition(".")[0] == "compacter_cli"
    ]


def wrong(module, other):
    """Whether an import goes against the order."""
    here, there = room_of(module), room_of(other)
    if here is None or there is None or here == there:
        return False
    return ORDER.index(here) > ORDER.index(there)


def test_every_room_has_its_place_in_the_order():
    assert {room_of(module) for module in CLI} - {None} == set(ORDER)


def test_every_import_goes_one_way():
    assert len(arrows()) > 300
    assert [f"{module} imports {other}" for module, other in arrows() if wrong(module, other)] == []


@pytest.mark.parametrize(
    ("module", "other", "against"),
    [
        ("compacter_cli.t5.model", "compacter_cli.methods.base", True),
        ("compacter_cli.methods.base", "compacter_cli.t5.shapes", False),
        ("compacter_cli.errors", "compacter_cli.files", True),
        ("compacter_cli.world.text", "compacter_cli.tasks", True),
        ("compacter_cli.data.sources", "compacter_cli.data.dataset", False),
    ],
)
def test_an_import_against_the_order_would_be_noticed(module, other, against):
    assert wrong(module, other) is against


def test_inner_imports_are_seen():
    text = "def f():\n    from compacter_cli.methods import METHODS\n    import rich.table\n"
    assert imports_of(text) == {"compacter_cli.methods", "rich.table"}


def test_no_files_import_each_other_in_a_circle():
    after = {module: set() for module in CLI}
    for module, other in arrows():
        after[module].add(other)
    left = dict(after)
    while free := [m for m, others in left.items() if not others & (left.keys() - {m})]:
        for module in free:
            del left[module]
    assert sorted(left) == []


def test_methods_and_the_t5_do_not_know_each_other():
    known = {
        other
        for module, other in arrows()
        if (room_of(module), room_of(other)) == ("methods", "t5")
    }
    assert known <= METHODS_MAY_KNOW


def test_only_the_commands_and_the_door_print_or_know_rich():
    telling = []
    for module, path in CLI.items():
        if room_of(module) in ("commands", "main"):
            continue
        text = path.read_text(encoding="utf-8")
        known = [name for name in imports_of(text) if name.startswith(PRINTS)]
        calls = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        ]
        telling += [module] * bool(known or calls)
    assert telling == []


def test_layers_know_nothing_of_the_program():
    for module, path in LAYERS.items():
        others = {name.partition(".")[0] for name in imports_of(path.read_text(encoding="utf-8"))}
        assert "compacter_cli" not in others, module


def test_the_root_holds_at_most_eight_files():
    assert len([path for path in (ROOT / "compacter_cli").iterdir() if path.is_file()]) <= 8
