"""Budgets as text, against what is free, and enforced on a process."""

import subprocess
import sys

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.profiling import limits
from compacter_cli.profiling.limits import check_budget, free_memory, limit_memory, parse_size

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24_000_000_000),
        ("1.5 GB", 1_500_000_000),
        ("800mb", 800_000_000),
        ("2GiB", 2_147_483_648),
        ("1MiB", 1_048_576),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["24", "GB", "-1GB", "0GB", "24 TB", "1e3MB", ""])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match=r"expected a size such as 24GB"):
        parse_size(text)


def test_a_budget_must_be_free():
    check_budget(10**9, 10**9, "this machine")
    with pytest.raises(UsageError, match=r"24\.00 GB is more than the 8\.00 GB free on this"):
        check_budget(24 * 10**9, 8 * 10**9, "this machine")
    with pytest.raises(UsageError, match="needs Linux"):
        check_budget(1, None, "this machine")


@LINUX
def test_free_memory_is_no_more_than_there_is():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < free_memory() <= total


@LINUX
def test_a_containers_limit_counts(monkeypatch):
    monkeypatch.setattr(limits, "_left_in_group", lambda: [12345])
    assert free_memory() == 12345


@LINUX
def test_a_limited_process_gets_its_budget_and_no_more():
    code = (
        "from compacter_cli.profiling.limits import limit_memory\n"
        "limit_memory(100_000_000, 'cpu')\n"
        "bytearray(60_000_000)\n"
        "try: bytearray(200_000_000)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize(("device", "index"), [("cuda", None), ("cuda:1", 1)])
def test_a_gpu_gives_out_the_budgets_share_of_its_memory(monkeypatch, device, index):
    import torch

    calls = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30 * 10**9, 80 * 10**9))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: calls.append(given)
    )
    limit_memory(24 * 10**9, device)
    assert calls == [(0.3, index)]


def test_where_there_is_no_limit_it_is_said(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CompacterError, match="only Linux"):
        limit_memory(1, "cpu")
