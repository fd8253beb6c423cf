"""What goes into the wheel: every package, and every file that is no code."""

import glob
import tomllib
from pathlib import Path

import pytest

from compacter_cli import __version__

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {"compacter_cli": "compacter_cli", **SETUPTOOLS["package-dir"]}
DATA = SETUPTOOLS["package-data"]


def files_below(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in paths if "__pycache__" not in path.parts}


def test_every_package_is_listed():
    found = set()
    for package, folder in FOLDERS.items():
        for path in files_below(ROOT / folder):
            if path.name == "__init__.py":
                found.add(".".join((package, *path.parent.parts)))
    assert found == set(SETUPTOOLS["packages"])
    assert {"compacter_cli.world", "compacter_cli.pretraining"} <= found


def test_code_lies_in_packages_alone():
    for folder in FOLDERS.values():
        for path in files_below(ROOT / folder):
            if path.suffix == ".py":
                assert (ROOT / folder / path.parent / "__init__.py").is_file(), path


@pytest.mark.parametrize("package", DATA)
def test_every_file_that_is_no_code_is_package_data(package):
    folder = ROOT / FOLDERS[package]
    data = {path for path in files_below(folder) if path.suffix != ".py"}
    # As setuptools reads the patterns.
    matched = {
        Path(name)
        for pattern in DATA[package]
        for name in glob.glob(pattern, root_dir=folder, recursive=True)
    }
    assert data
    assert data - matched == set()


def test_the_demo_backbone_is_among_them_with_its_vocabulary():
    names = {str(path) for path in files_below(ROOT / "compacter_cli")}
    preset = "presets/demo_t5"
    for name in ("config.json", "model.weights.h5", "assets/tokenizer/vocabulary.spm"):
        assert f"{preset}/{name}" in names


def test_a_checkout_holds_no_unfinished_preset():
    preset = ROOT / "compacter_cli" / "presets" / "demo_t5"
    assert {path.name for path in preset.iterdir()} == {
        "assets", "config.json", "metadata.json", "model.weights.h5", "preprocessor.json",
        "pretraining.json", "task.json", "tokenizer.json",
    }  # fmt: skip


def test_the_version_is_cited_and_heads_the_changelog():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f"\n## {__version__} - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
