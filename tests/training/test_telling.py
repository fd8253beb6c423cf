import pytest
from torch import distributed

from compacter_cli.errors import ToldElsewhereError
from compacter_cli.training.telling import leave_the_telling


@pytest.mark.usefixtures("plain_sigterm")
def test_the_first_to_end_tells_and_the_others_end_with_its_code():
    store = distributed.HashStore()
    leave_the_telling(store, 1, 2)
    leave_the_telling(store, 1, 130)  # still the one
    with pytest.raises(ToldElsewhereError) as caught:
        leave_the_telling(store, 0, 1)
    assert caught.value.exit_code == 2
