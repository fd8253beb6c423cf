"""Which backend Keras takes where nobody has chosen one: torch, and not TensorFlow by accident."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def choose_backend() -> None:
    """Let Keras run on torch where neither KERAS_BACKEND nor its configuration says another.

    Keras' own default is TensorFlow, which it also writes to `keras.json` when it is first
    imported; what that file says is therefore no choice where it says TensorFlow. Nothing is done
    where keras or TensorFlow are imported already, or torch is not installed.
    """
    if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or sys.modules.get("tensorflow"):
        return
    if _configured() in (None, "tensorflow") and find_spec("torch"):
        os.environ["KERAS_BACKEND"] = "torch"


def _configured() -> object:
    """The backend in Keras' configuration file, where there is one that can be read."""
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        return json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        return None


choose_backend()  # at import time: it must come before the first import of keras
