"""Pages of the site that are made while it is built: of the program's help, and of files elsewhere.

MkDocs calls `on_files` and `on_page_markdown`; everything else is for them and for the tests.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from compacter_cli.main import COMMANDS, load_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
INCLUDED = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages that are files of the repository, and where the site has them."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of docs/ holds."""
    from mkdocs.structure.files import File

    for path, content in pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Set the equations of a page."""
    return re.sub(r"^```math\n(.*?)^```$", _equation, markdown, flags=re.MULTILINE | re.DOTALL)


def pages() -> Iterator[tuple[str, str]]:
    """Path and Markdown of every generated page."""
    for name, path in INCLUDED.items():
        yield path, included(ROOT.joinpath(name).read_text(encoding="utf-8"))
    yield "commands/index.md", _overview()
    for name in COMMANDS:
        yield f"commands/{name}.md", command_page(name)


def included(text: str) -> str:
    """Markdown of the repository's top with its links as the site has them."""

    def moved(match: re.Match[str]) -> str:
        target = match[1].removeprefix("docs/")
        return f"]({INCLUDED.get(target, target)}{match[2]})"

    return re.sub(r"\]\((?!https?://|#)([^)#]+)((?:#[^)]*)?)\)", moved, text)


def command_page(name: str) -> str:
    """The page of a command, and of its subcommands, from their help."""
    return "\n".join(_described(load_command(name), f"compacter {name}", 1))


def _overview() -> str:
    rows = [f"| [`{name}`]({name}.md) | {words} |" for name, words in COMMANDS.items()]
    return "\n".join(["# Commands", "", "| command | what it does |", "|---|---|", *rows, ""])


def _described(command: Any, path: str, level: int) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    yield f"{'#' * level} {path}\n"
    yield f"{_help(command)}\n"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{path} {usage}\n```\n"
    yield from _parameters(command, context)
    for name in getattr(command, "commands", {}):
        yield from _described(command.get_command(context, name), f"{path} {name}", level + 1)


def _help(command: Any) -> str:
    """A command's help as Markdown: what it shows as an example is code."""
    example = re.compile(r"^(.*: )((?:compacter|torchrun|curl) .*)$", re.MULTILINE)
    return example.sub(r"\1`\2`", (command.help or "").replace("\b\n", "").strip())


def _parameters(command: Any, context: typer.Context) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts:
            names, words = (re.sub(r"\s+", " ", text).replace("|", "\\|") for text in record)
            rows.append(f"| `{names}` | {words.replace('<', '&lt;')} |")
    if rows:
        yield "\n".join(["| option | |", "|---|---|", *rows, ""])


def _equation(match: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    body = " ".join(match[1].split())
    return f'<div class="equation">{convert(body, display="block")}</div>'
