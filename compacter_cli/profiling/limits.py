"""Memory budgets: read from text, held against what is free, and enforced on a process."""

import re
import sys
from collections.abc import Iterator

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import size_text
from compacter_cli.profiling.peak import process_bytes

UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """Bytes of a size such as 24GB, 800MB or 24GiB.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG]i?B)", text.strip(), re.IGNORECASE)
    size = match and int(float(match[1]) * UNITS[match[2].upper()])
    if not size:
        raise UsageError(f"--memory-budget {text}: expected a size such as 24GB, 800MB or 24GiB")
    return size


def check_budget(budget: int, free: int | None, where: str) -> None:
    """Refuse a budget of more than the `free` bytes of `where`, which may be unknown (`None`).

    Raises:
        UsageError: the machine would run out of memory before the limit is met.
    """
    if free is None:
        raise UsageError(
            "--memory-budget on a CPU needs Linux: no other system enforces the limit",
            "leave it out, or use a GPU",
        )
    if budget > free:
        raise UsageError(
            f"--memory-budget {size_text(budget)} is more than the {size_text(free)} free on "
            f"{where}",
            "give less than is free, or free some",
        )


def free_memory() -> int | None:
    """Bytes of main memory to be had without swapping, `None` where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            text = file.read()
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return min([int(match[1]) * 1024, *_left_in_group()]) if match else None


def _left_in_group() -> Iterator[int]:
    """What a container's own limit leaves."""
    try:
        with (
            open("/sys/fs/cgroup/memory.max") as most,
            open("/sys/fs/cgroup/memory.current") as now,
        ):
            limit, used = most.read().strip(), int(now.read())
    except (OSError, ValueError):
        return
    if limit.isdigit():
        yield int(limit) - used


def limit_memory(budget: int, device: str) -> None:
    """Let this process allocate `budget` bytes from here on, and no more.

    Raises:
        CompacterError: this system cannot.
    """
    if device.startswith("cuda"):
        import torch

        _, total = torch.cuda.mem_get_info(device)
        index = torch.device(device).index  # None for "cuda", which it takes as the current one
        torch.cuda.set_per_process_memory_fraction(min(1.0, budget / total), index)
        return
    if not sys.platform.startswith("linux"):
        raise CompacterError("only Linux limits the memory of a process on a CPU")
    import resource

    # Private writable memory: what is allocated. The address space would count mapped files too.
    limit = process_bytes("VmData") + budget
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
