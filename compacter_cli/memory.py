"""Peak memory of this process."""


def peak_memory(device):
    """Peak bytes so far: of torch's CUDA allocator on a GPU, of the whole process on a CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
