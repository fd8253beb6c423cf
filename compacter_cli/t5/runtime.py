"""Keras on torch, TensorFlow kept off the GPU: the one place that starts the frameworks."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from compacter_cli.errors import CompacterError, UsageError, excerpt

_TENSORFLOW = ("tensorflow", "tensorflow_text")
# What keras and keras_hub import where it is there, for parts of theirs that nothing here uses: a
# third of their time. Metrics and figures of ours import some of it when they are computed.
_EXTRAS = ("matplotlib", "rouge_score", "sklearn")


def hide_tensorflow() -> None:
    """Let this process run as if TensorFlow were not installed; for the command line alone.

    Nothing here uses it, but keras_hub and keras import it where it is, at five seconds and, on a
    GPU, at most of its memory. A Python user's process is left as it is: other code may need it.
    So is what environment and `~/.keras/keras.json` say of Keras, which here is set aside.
    """
    _hide(_TENSORFLOW)
    os.environ["KERAS_BACKEND"] = "torch"


def _is_ours() -> bool:
    """Whether this is a process of the command line."""
    return sys.modules.get("tensorflow", sys) is None


@contextlib.contextmanager
def tensorflow_as_installed() -> Iterator[None]:
    """Undo `hide_tensorflow` inside: TFDS mistakes the hidden TensorFlow for an imported one."""
    hidden = [name for name in _TENSORFLOW if name in sys.modules and sys.modules[name] is None]
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        _hide(hidden)


@contextlib.contextmanager
def _without_extras() -> Iterator[None]:
    """Inside, in the command line's own process, keras does not find what it can do without."""
    hidden = [name for name in _EXTRAS if _is_ours() and name not in sys.modules]
    _hide(hidden)
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _hide(names: Iterable[str]) -> None:
    # `None` stands for a module that cannot be imported; typeshed knows modules alone.
    absent: dict[str, Any] = {name: None for name in names if name not in sys.modules}
    sys.modules.update(absent)


def start_keras() -> ModuleType:
    """Import keras on its torch backend, unless another was chosen, and keras_hub.

    In a Python user's process nothing that is set in Keras is changed: whatever is made here says
    its own dtype.

    Raises:
        CompacterError: another backend was chosen, by KERAS_BACKEND or with an earlier import.
    """
    known = "tensorflow" in sys.modules
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _choose_torch()
    with quiet_stderr(), warnings.catch_warnings(), _without_extras():
        warnings.simplefilter("ignore")
        import keras
        import keras_hub  # noqa: F401
    if keras.config.backend() != "torch":
        raise _on_another(keras.config.backend())
    if _is_ours():
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    elif not known:
        _keep_tensorflow_off_gpus()
    warnings.filterwarnings("ignore", message=".*does not support masking.*")
    return keras


def _choose_torch() -> None:
    if "keras" not in sys.modules and os.environ.setdefault("KERAS_BACKEND", "torch") != "torch":
        raise _on_another(os.environ["KERAS_BACKEND"])


def _on_another(backend: str) -> CompacterError:
    return CompacterError(
        f"compacter needs Keras on torch, but keras runs on {excerpt(backend)} here",
        'set os.environ["KERAS_BACKEND"] = "torch" before the first import of keras',
    )


def _keep_tensorflow_off_gpus() -> None:
    # keras_hub imports TensorFlow where it is installed; its default is to take a GPU's memory.
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        with contextlib.suppress(RuntimeError):  # it has initialised its devices already
            tensorflow.config.set_visible_devices([], "GPU")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence what TensorFlow's C++ writes to stderr while it is imported."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def on_device(name: str | None) -> Iterator[str]:
    """Run Keras on `cpu` or `cuda[:i]`; `None` is a GPU where there is one. Yields the name.

    Raises:
        UsageError: there is no such device.
    """
    import keras

    name = device_named(name)
    with keras.device(name):
        yield name


def device_named(name: str | None) -> str:
    """`name`, checked; `None` is a GPU where there is one.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = name or ("cuda" if count else "cpu")
    gpus = ["cuda", *(f"cuda:{index}" for index in range(count))] if count else []
    if name not in ("cpu", *gpus):
        raise UsageError(
            f"--device {name}: expected cpu or cuda; torch {torch.__version__} sees "
            f"{', '.join(gpus[1:]) or 'no GPU'} here",
            "leave --device out to take what is there",
        )
    return name


def use_threads(count: int | None) -> None:
    """Let torch compute on `count` CPU threads; `None` leaves it its own choice."""
    import torch

    if count is not None:
        torch.set_num_threads(count)


def seed_everything(seed: int) -> None:
    """Seed python's, numpy's and torch's generators (dropout draws from torch's)."""
    import random

    import numpy as np
    import torch

    # keras.utils.set_random_seed would do the same and import TensorFlow.
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
