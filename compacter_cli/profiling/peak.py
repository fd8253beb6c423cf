"""Peak memory of training steps in this process."""

import contextlib
import gc
import re

from compacter_cli.training.memory import peak_memory


class PeakMemory:
    """The growth of this process's memory since it was made, at its highest.

    On a GPU of what torch's allocator has given out. On a CPU of the resident set, whose highest
    mark is set back where the system allows it (Linux); elsewhere only a growth over the highest
    mark so far is seen.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        gc.collect()
        if device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
            return
        _return_free_pages()
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # sets VmHWM back to VmRSS
        self._before = process_bytes("VmRSS") or peak_memory(device)

    def growth(self) -> int:
        """Bytes by which the peak exceeds the start."""
        if self._device.startswith("cuda"):
            return peak_memory(self._device) - self._before
        peak = process_bytes("VmHWM") or peak_memory(self._device)
        return max(0, peak - self._before)


def process_bytes(field: str) -> int:
    """A field of /proc/self/status in bytes; 0 where there is no such file."""
    try:
        with open("/proc/self/status") as file:
            match = re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0


def _return_free_pages() -> None:
    """Have glibc give back what is free in its heap, or steps would grow into it unseen."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
