"""The table of formats."""

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.exchange.formats import FORMATS, format_named, format_of
from compacter_cli.t5.shapes import DEMO_PRESET, local_directory


def test_each_holds_backbones_or_adapters_and_names_what_it_becomes():
    for form in FORMATS.values():
        assert (form.write_backbone is None) == (form.read_adapter is not None)
        assert (form.recipe_of is None) == (form.read_adapter is None)
        assert form.default_to in FORMATS
    assert format_named("keras-hub") is FORMATS["keras-hub"]


def test_what_is_in_a_directory_is_recognised(smoke_run, tmp_path):
    assert format_of(local_directory(DEMO_PRESET)) == "keras-hub"
    assert format_of(smoke_run / "best") == "compacter"
    (tmp_path / "config.json").write_text("[]")
    assert format_of(tmp_path) is None
    assert format_of(tmp_path / "nothing") is None


def test_an_unknown_format_is_told_with_the_nearest():
    with pytest.raises(UsageError, match=r"(?m)^--to keras_hub: no such format$") as caught:
        format_named("keras_hub")
    assert caught.value.hint == 'did you mean "keras-hub"?'
