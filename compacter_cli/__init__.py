"""Compacter and its rivals: fine-tune T5 from a TOML recipe to a trained, re-evaluated adapter.

The names of `__all__` are for Python users; all others may change. They are imported when first
asked for, frameworks later still: `import compacter_cli` itself costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compacter_cli.adapters.attach import attach
    from compacter_cli.adapters.attached import Attached
    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.api import evaluate, train
    from compacter_cli.errors import CompacterError, MissingResourceError, UsageError
    from compacter_cli.methods import METHODS
    from compacter_cli.recipe.recipe import Recipe, load_recipe
    from compacter_cli.t5.loading import Backbone, load_backbone
    from compacter_cli.tasks import TASKS
    from compacter_cli.training.evaluation import Evaluation
    from compacter_cli.training.records import Result

__version__ = "0.2.0"

__all__ = [
    "METHODS",
    "TASKS",
    "Attached",
    "Backbone",
    "CompacterError",
    "Evaluation",
    "MissingResourceError",
    "Predictor",
    "Recipe",
    "Result",
    "UsageError",
    "attach",
    "evaluate",
    "load_backbone",
    "load_recipe",
    "train",
]

_MODULES = {
    "adapters.attach": ("attach",),
    "adapters.attached": ("Attached",),
    "adapters.predictor": ("Predictor",),
    "api": ("evaluate", "train"),
    "errors": ("CompacterError", "MissingResourceError", "UsageError"),
    "methods": ("METHODS",),
    "recipe.recipe": ("Recipe", "load_recipe"),
    "t5.loading": ("Backbone", "load_backbone"),
    "tasks": ("TASKS",),
    "training.evaluation": ("Evaluation",),
    "training.records": ("Result",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"compacter_cli.{module}"), name)
            globals()[name] = value  # so that it is asked for once
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
