"""What a run is computed with, and environment.json, which says so beside its weights."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import compacter_cli
from compacter_cli.files import read_json, write_json
from compacter_cli.training.records import RUN_FORMAT, RUN_VERSION, Environment

ENVIRONMENT = "environment.json"


def environment(device: str) -> Environment:
    """Versions and machine, for the record beside the weights."""
    import torch

    packages = ("keras", "keras-hub", "torch", "tensorflow-datasets", "sentencepiece", "numpy")
    return {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "compacter": compacter_cli.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
        "device": device,
        "device_name": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "command": sys.argv[1:],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def note_resumed(directory: Path, now: Environment, update: int) -> None:
    """Write to environment.json in what a run goes on, and after which update."""
    path = directory / ENVIRONMENT
    try:
        before = [*read_json(path).get("resumed", [])]
    except (OSError, ValueError, AttributeError, TypeError):
        before = []
    write_json(path, {**now, "resumed": [*before, update]})
