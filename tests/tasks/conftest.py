"""What the tests of tasks share: the example that ends a task's module."""

import importlib

import pytest


@pytest.fixture
def docstring_example():
    """`(text, target)` of the example in the docstring of a module of `compacter_cli.tasks`."""

    def read(name):
        module = importlib.import_module(f"compacter_cli.tasks.{name}")
        text, arrow, target = module.__doc__.split("\n\n")[-1].partition("->")
        assert arrow
        return " ".join(text.split()), target.strip()

    return read
