"""What the tests of the T5 share: backbones made once a module."""

import pytest


@pytest.fixture(scope="module")
def made():
    """The backbones of a module's tests, by what they were asked for."""
    return {}


@pytest.fixture
def shared_backbone(tiny_backbone, made):
    """One backbone a configuration for all tests of a module that do not change its values."""

    def get(kind="v1_0", **changes):
        key = (kind, *sorted(changes.items()))
        if key not in made:
            made[key] = tiny_backbone(kind, **changes)
        return made[key]

    return get
