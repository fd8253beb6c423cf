"""Names that people know from Hugging Face's hub are told what to do."""

import pytest

from compacter_cli.errors import MissingResourceError, UsageError
from compacter_cli.t5.hub_names import SAME, hub_hint
from compacter_cli.t5.shapes import PRESETS, shape_of


@pytest.fixture(autouse=True)
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_what_is_named_as_the_same_is_a_preset():
    assert set(SAME.values()) == set(PRESETS)


@pytest.mark.parametrize(
    ("name", "kind", "ours"),
    [
        ("t5-base", UsageError, "t5_base_multi"),  # and not t5_1.1_base, which reads alike
        ("google-t5/t5-small", MissingResourceError, "t5_small_multi"),
        ("google/flan-t5-base", MissingResourceError, "flan_base_multi"),
        ("hf://google/t5-v1_1-large", MissingResourceError, "t5_1.1_large"),
    ],
)
def test_the_same_weights_of_kerashub_are_named(name, kind, ours):
    with pytest.raises(kind) as caught:
        shape_of(name)
    assert f"KerasHub's preset of the same weights is {ours}; or, " in caught.value.hint
    assert f"hf download {name.removeprefix('hf://')} --local-dir DIR" in caught.value.hint


def test_a_model_that_kerashub_has_not_is_downloaded():
    assert hub_hint("google/mt5-base").startswith("of Hugging Face's hub nothing is fetched: ")


def test_a_copy_on_this_disk_is_named(empty_hub):
    place = empty_hub / "models--google--mt5-base" / "snapshots" / "abc"
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    assert hub_hint("hf://google/mt5-base") == (
        f"a copy of google/mt5-base is on this disk: give {place}"
    )


@pytest.mark.parametrize("path", ["./google/t5", "/google/t5", "~/t5", "a/b/c", "t5_base", "bert"])
def test_paths_and_other_names_are_no_names_of_the_hub(path):
    assert hub_hint(path) is None
