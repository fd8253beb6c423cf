"""The table of formats."""

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.exchange.formats import FORMATS, format_named


def test_a_preset_is_a_format():
    assert list(FORMATS) == ["keras-hub"]
    assert format_named("keras-hub") is FORMATS["keras-hub"]


def test_an_unknown_format_is_told_with_the_nearest():
    with pytest.raises(UsageError, match=r"^--to keras_hub: no such format$") as caught:
        format_named("keras_hub")
    assert caught.value.hint == 'did you mean "keras-hub"?'
