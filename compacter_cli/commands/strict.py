"""A command that refuses a second value for an option of one; help shows arguments by name."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from compacter_cli.errors import UsageError


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
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            _check_given_once(given)
        return super().parse_args(ctx, args)


def _nothing(_ctx: Any) -> str:
    """The type of a value that help shows without one."""
    return ""


def _check_given_once(given: list[Any]) -> None:
    """Refuse an option of one value that is in `given`, the parameters in turn, a second time."""
    for parameter in given:
        once = not (getattr(parameter, "multiple", True) or getattr(parameter, "is_flag", False))
        if once and given.count(parameter) > 1:
            name = max(parameter.opts, key=len)
            raise UsageError(f"{name} takes one value, and has more", "leave out all but one")
