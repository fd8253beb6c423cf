"""What the tests of tasks share: the example that ends a task's module."""

import functools
import importlib

import pytest

from compacter_cli.tasks import TASKS


@pytest.fixture
def docstring_example():
    """`(text, target)` of the example in the docstring of a module of `compacter_cli.tasks`."""

    def read(name):
        module = importlib.import_module(f"compacter_cli.tasks.{name}")
        text, arrow, target = module.__doc__.split("\n\n")[-1].partition("->")
        assert arrow
        return " ".join(text.split()), target.strip()

    return read


@pytest.fixture(scope="session")
def demo_rows():
    """The rows of a demo task, made once. Do not change them."""
    made = functools.cache(lambda name: TASKS[name].generate())
    return lambda task: made(task.name)
