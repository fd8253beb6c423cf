"""A command that refuses a second value for an option of one; help shows arguments by name."""

from __future__ import annotations

import shlex
from typing import Any

from typer.core import TyperCommand

from compacter_cli.errors import UsageError, excerpt


class Command(TyperCommand):
    """A command whose options of one value are given once; click would take the last silently."""

    def get_params(self, ctx: Any) -> list[Any]:
        found = super().get_params(ctx)
        for parameter in found:
            if parameter.param_type_name == "argument":
                setattr(parameter, "display_type", _nothing)  # noqa: B010 - of Typer 0.29's
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # of a completion, whose line is not finished
            _, left, given = self.make_parser(ctx).parse_args(args=list(args))
            _check_given_once(given)
            if left:
                _check_named(left[0], self.get_params(ctx), given)
        return super().parse_args(ctx, args)


def _nothing(_ctx: Any) -> str:
    """The type of a value that help shows without one."""
    return ""


def _check_named(value: str, parameters: list[Any], given: list[Any]) -> None:
    """Refuse a recipe or a run that is given without its option."""
    for name in ("--recipe", "--run"):
        if any(name in one.opts and one not in given for one in parameters):
            meant = f"{name} {shlex.quote(value)}"
            raise UsageError(f"{excerpt(value)}: expected {name} before it", meant)


def _check_given_once(given: list[Any]) -> None:
    """Refuse an option of one value that is in `given`, the parameters in turn, a second time."""
    for parameter in given:
        once = not (getattr(parameter, "multiple", True) or getattr(parameter, "is_flag", False))
        if once and given.count(parameter) > 1:
            name = max(parameter.opts, key=len)
            raise UsageError(f"{name} takes one value, and has more", "leave out all but one")
