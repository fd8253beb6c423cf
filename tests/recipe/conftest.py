"""What the tests of recipes share: the shipped ones, loaded once, and one check on many of them."""

from pathlib import Path

import pytest

from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe

ROOT = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="session")
def loaded():
    """Every shipped recipe by name, loaded from its file."""
    return {
        f"{path.parent.name}/{path.stem}": (
            load_pretraining if path.stem == "pretrain" else load_recipe
        )(str(path))
        for path in sorted(ROOT.rglob("*.toml"))
        if path.parent.name != "sweeps"  # which are no recipes but name many
    }


@pytest.fixture(scope="session")
def every():
    """Runs a check on everything that is named, and fails with all that failed, by name."""

    def every(check, names):
        assert names, "nothing to check"
        wrong = {}
        for name in names:
            try:
                check(name)
            except Exception as error:
                wrong[name] = f"{type(error).__name__}: {error}"
        if wrong:
            told = "\n".join(f"{name}: {what}" for name, what in wrong.items())
            raise AssertionError(f"{len(wrong)} of {len(names)} fail\n{told}")

    return every
