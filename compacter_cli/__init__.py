"""Compacter and its rivals: fine-tune T5 from a TOML recipe to a trained, re-evaluated adapter."""

__version__ = "0.1.0"
