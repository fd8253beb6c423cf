import re
import warnings

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import shape_of
from compacter_cli.training.display import Display, Opening
from compacter_cli.training.log_file import LOG
from compacter_cli.training.run_log import Both, logged
from compacter_cli.training.trainer import Update


class Seen(Display):
    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture
def opening(tmp_path):
    recipe = load_recipe("demo/smoke_compacterpp")
    sizes = {"train": 40, "validation": 20, "test": 20}
    return Opening(recipe, shape_of(recipe.backbone.preset), sizes, 0, 10, "cpu", tmp_path)


def said(directory):
    text = (directory / LOG).read_text(encoding="utf-8")
    return [re.sub(r"^\S+ \S+ ", "", line) for line in text.splitlines()]


def test_what_is_shown_is_written_with_warnings_and_the_end(opening, tmp_path):
    seen = Seen()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning
        with pytest.raises(CompacterError), pytest.warns(UserWarning, match="odd"):
            warned(seen, opening)
        assert warnings.showwarning is shown
    found = said(tmp_path)
    assert found[0] == "told before it began"
    assert f"writing to {tmp_path}" in found
    assert found[-4:-1] == ["step 1/10  loss 0.5000  rate 1.00e-03", "a line",
                            "warning: UserWarning: odd"]  # fmt: skip
    assert found[-1] == "ended: CompacterError: no room"
    assert seen.lines == ["told before it began", "a line"]


def warned(seen, opening):
    with logged(seen) as display:
        display.line("told before it began")
        display.opening(opening)
        display.start(10)
        display.update(Update(1, 1, 0.5, 1e-3, 1.0))
        display.line("a line")
        warnings.warn("odd", UserWarning, stacklevel=1)
        raise CompacterError("no room")


def test_a_run_that_never_opened_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logged(Seen()) as display:
        display.line("one")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_told_to_one_of_both_displays_alone():
    assert {name for name in vars(Display) if not name.startswith("_")} <= vars(Both).keys()
