"""Plain `pytest` takes two workers; whoever asks for something else, and a worker, takes none."""

from pathlib import Path
from types import SimpleNamespace

import pytest

PLAIN = {"numprocesses": None, "dist": "no", "markexpr": "not slow", "usepdb": False}
SOURCE = pytest.Config.ArgsSource


@pytest.fixture
def workers(request, monkeypatch):
    """How many workers a command line gets, by its options and where its tests come from."""
    plugin = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def workers(source=SOURCE.TESTPATHS, **changes):
        option = SimpleNamespace(**{**PLAIN, **changes})
        plugin.pytest_cmdline_main(
            SimpleNamespace(
                args_source=source,
                option=option,
                getoption=lambda name, default=None: getattr(option, name, default),
            )
        )
        return option.numprocesses

    return workers


def test_all_quick_tests_are_run_by_two(workers):
    assert workers() == 2


@pytest.mark.parametrize("said", [{"numprocesses": 0}, {"markexpr": "slow"}, {"usepdb": True},
                                  {"source": SOURCE.ARGS}])  # fmt: skip
def test_what_is_said_otherwise_holds(workers, said):
    assert workers(**said) == said.get("numprocesses")


def test_a_worker_begins_no_others(workers, monkeypatch):
    """They would begin others in their turn, without end."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert workers() is None
