"""The fused execution of a T5 step, made for a GPU: few, large kernels, and none that waits.

Padded tensors of few different lengths, torch's fused attention and norm, dropout by the device's
own generator; a whole training pass is captured as a CUDA graph.
"""
