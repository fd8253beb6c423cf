"""A command that refuses what click takes without a word: a second value for one."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from compacter_cli.errors import UsageError


class Command(TyperCommand):
    """A command whose options of one value are given once; click would take the last silently."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # of a completion, whose line is not finished
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            _check_given_once(given)
        return super().parse_args(ctx, args)


def _check_given_once(given: list[Any]) -> None:
    """Refuse an option of one value that is in `given`, the parameters in turn, a second time."""
    for parameter in given:
        once = not (getattr(parameter, "multiple", True) or getattr(parameter, "is_flag", False))
        if once and given.count(parameter) > 1:
            name = max(parameter.opts, key=len)
            raise UsageError(f"{name} takes one value, and has more", "leave out all but one")
