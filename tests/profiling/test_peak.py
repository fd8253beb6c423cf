"""The growth of a process's memory at its peak."""

import sys

import pytest

from compacter_cli.profiling import peak
from compacter_cli.profiling.peak import PeakMemory

MB = 1_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux sets it back")
def test_the_growth_is_what_was_taken_since_even_if_given_back():
    before = bytearray(300 * MB)  # a higher peak than the one to come
    del before
    watched = PeakMemory("cpu")
    taken = bytearray(100 * MB)
    del taken
    assert 90 * MB < watched.growth() < 150 * MB


def test_without_proc_the_growth_is_over_the_highest_mark(monkeypatch):
    marks = iter([500 * MB, 620 * MB])
    monkeypatch.setattr(peak, "process_bytes", lambda field: 0)
    monkeypatch.setattr(peak, "peak_memory", lambda device: next(marks))
    assert PeakMemory("cpu").growth() == 120 * MB
