"""Options that several benchmarks take."""

from pathlib import Path
from typing import Annotated

import typer

ShapesOption = Annotated[list[str] | None, typer.Option(help="small, base or tiny. Repeatable.")]
BatchOption = Annotated[int, typer.Option(min=1)]
RankOption = Annotated[int, typer.Option(help="Of lora.")]
RunsOption = Annotated[int, typer.Option(min=1, help="Alternations.")]
RaggedOption = Annotated[bool, typer.Option(help="Sources as long as RTE's.")]
RteOption = Annotated[str | None, typer.Option(help="Folder of original GLUE files.")]
VocabularyOption = Annotated[
    str | None, typer.Option(help='For --rte: preset directory, or "rule" (1.3 tokens a word).')
]
ShareOption = Annotated[float, typer.Option(help="Of the RTE epoch.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="File to write.")]
