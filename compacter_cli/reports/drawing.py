"""Figures that look alike, in grey too, and the bytes of their files."""

from __future__ import annotations

import io
import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from compacter_cli.profiling.labels import take_literally, unremarked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.figure import Figure

DPI = 150
# Told apart without colour: by marker, by line and by how dark it prints.
COLOURS = ("#c0392b", "#1f5f8b", "#2e8b57", "#8e5ea2", "#b8860b", "#333333")
MARKERS = ("D", "o", "s", "^", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
HATCHES = ("//", "..", "\\\\", "xx", "||", "--")


class Look(NamedTuple):
    """How one of several lines is drawn."""

    color: str
    marker: str
    line: Any
    hatch: str


def look_of(index: int) -> Look:
    """The look of the line of this index; they begin again after six."""
    place = index % len(COLOURS)
    return Look(COLOURS[place], MARKERS[place], LINES[place], HATCHES[place])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, that arranges its own parts."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=DPI)


def wrapped(text: str, width: float, size: float) -> str:
    """A text of a size in points in lines that fit so many inches, three at most."""
    lines = textwrap.wrap(text, _letters_in(width, size), max_lines=3, placeholder=" …")
    return "\n".join(lines)


def shortened(text: str, width: float, size: float) -> str:
    """A text of a size in points, its end left out where it does not fit so many inches."""
    most = _letters_in(width, size)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def legend_columns(names: Sequence[str], width: float, size: float) -> int:
    """How many columns of a legend fit so many inches, three at most."""
    longest = max(map(len, names), default=0) + 9  # letters' room for a line and a gap
    return max(1, min(3, len(names), _letters_in(width, size) // longest))


def _letters_in(width: float, size: float) -> int:
    return int(72 * width / (0.55 * size))  # a letter is about so much of its size wide


def missing_letters(figures: Iterable[Figure]) -> str:
    """The letters that the font of some figure's texts does not have."""
    return "".join(dict.fromkeys(letter for figure in figures for letter in _missing(figure)))


def _missing(figure: Figure) -> Iterator[str]:
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        known = get_font(findfont(text.get_fontproperties())).get_charmap()
        yield from (
            letter
            for letter in text.get_text()
            if letter.isprintable() and ord(letter) not in known
        )


def settle(figure: Figure) -> None:
    """Arrange the parts of a figure for good: where names were put, and in every format alike."""
    take_literally(figure)
    with unremarked():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG."""
    return _saved(figure, "png", {"Software": None})


def svg_text(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure: no date, no random names."""
    metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    return _saved(figure, "svg", metadata).decode()


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an element of a page, its ids led by `name`, for a page holds several."""
    from html import escape

    text = svg_text(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)


def _saved(figure: Figure, form: str, metadata: dict[str, Any]) -> bytes:
    from matplotlib import rc_context

    file = io.BytesIO()
    with unremarked(), rc_context({"svg.hashsalt": "compacter", "svg.fonttype": "path"}):
        figure.savefig(file, format=form, metadata=metadata)
    return file.getvalue()
