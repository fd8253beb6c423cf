"""How a benchmark ends that cannot go on: with a line, and the program's own exit code."""

import sys
from contextlib import contextmanager

from compacter_cli.commands.console import err
from compacter_cli.errors import CompacterError


@contextmanager
def errors_told():
    """Tell what goes wrong inside in a line, and exit."""
    try:
        yield
    except CompacterError as error:
        err.print(f"error: {error}", soft_wrap=True)
        sys.exit(error.exit_code)
