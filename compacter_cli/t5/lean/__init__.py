"""The lean execution of a T5 step: the same results from less work and less memory.

Autograd functions that keep for the backward pass no more than it needs, run over real tokens.
"""
