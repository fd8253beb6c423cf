"""`compacter count-params`: exact parameter counts, without building a model."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import (
    NUMBERS,
    SIZES,
    JsonOption,
    MethodsOption,
    whole_numbers,
)
from compacter_cli.errors import CompacterError, RecipeError, UsageError

if TYPE_CHECKING:
    from compacter_cli.methods.base import Method
    from compacter_cli.paper.counting import Count


def command(
    method: MethodsOption = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            metavar="BACKBONE",
            help="KerasHub name or preset directory, or all of KerasHub's. Repeatable.",
            autocompletion=completion.backbones,
        ),
    ] = None,
    n: Annotated[
        list[str] | None,
        typer.Option("--n", metavar=NUMBERS, help="Hypercomplex division n; 4,8,12 are three."),
    ] = None,
    d: Annotated[
        list[str] | None, typer.Option("--d", metavar=NUMBERS, help="Bottleneck dimension d.")
    ] = None,
    rank: Annotated[
        list[str] | None, typer.Option("--rank", metavar=NUMBERS, help="Rank r of the factors.")
    ] = None,
    length: Annotated[
        list[str] | None, typer.Option("--length", metavar=NUMBERS, help="Prompt vectors.")
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option("--dim", metavar=NUMBERS, help="Subspace dimension d' of said."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build each model with random weights and compare.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Count the parameters that each method trains, beside the paper's figures.

    Example: compacter count-params --n 4,8,12 --d 24
    """
    given = {"n": n, "d": d, "rank": rank, "length": length, "dim": dim}
    numbers = {key: whole_numbers(f"--{key}", values) for key, values in given.items()}
    counts = count_params(backbones=backbone, methods=method, **numbers)
    built = verify_counts(counts) if verify else None
    if json_:
        from compacter_cli.commands.console import print_json
        from compacter_cli.paper.counting import as_data

        print_json([as_data(item, verified=verify) for item in counts])
    else:
        from compacter_cli.commands.count_tables import show

        show(counts, built)


def count_params(
    *,
    backbones: Collection[str] | None = None,
    methods: Collection[str] | None = None,
    **numbers: int | Sequence[int] | None,
) -> "list[Count]":
    """The `Count` of every method on every backbone, with every choice of the numbers given.

    Args:
        backbones: preset names or directories; T5-base by default, KerasHub's all for "all".
        methods: names of methods; all by default or for "all".
        **numbers: n, d, rank, length and dim, one of each or several; a method takes of them what
            it has.

    Raises:
        UsageError: an unknown method or backbone, or a number out of range.
        RecipeError: one backbone was asked for, and a number given does not fit it. In a table of
            several, and where a default does not fit, the `Count` says so instead.
    """
    from compacter_cli.methods import METHODS
    from compacter_cli.paper.counting import count
    from compacter_cli.t5.shapes import PRESETS

    names = _names(backbones or ["t5_base_multi"], PRESETS)
    given = {
        SIZES[key]: (value,) if isinstance(value, int) else tuple(dict.fromkeys(value))
        for key, value in numbers.items()
        if value is not None
    }
    asked = _names(methods or ["all"], METHODS)
    settings = [method for name in asked for method in _settings(name, given)]
    _check_used(given, settings)
    counts = [count(backbone, method) for backbone in names for method in settings]
    if len(names) == 1:
        _refuse_what_was_asked_for(counts, given, methods or ())
    return counts


def _names(asked: Collection[str], known: Iterable[str]) -> list[str]:
    return list(known) if "all" in asked else list(dict.fromkeys(asked))


def _settings(name: str, given: Mapping[str, Sequence[int]]) -> "Iterator[Method]":
    """A method with every choice of the numbers that it takes."""
    from itertools import product

    from compacter_cli.methods import METHODS

    method = METHODS[name]
    taken = {key: values for key, values in given.items() if key in method.model_fields}
    for values in product(*taken.values()):
        yield _checked(method, dict(zip(taken, values, strict=True)))


def _checked(method: "type[Method]", taken: Mapping[str, int]) -> "Method":
    from pydantic import ValidationError

    try:
        return method.model_validate(taken)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].replace("Input should be", "must be")
        option = next(key for key, field in SIZES.items() if field == first["loc"][0])
        raise UsageError(f"--{option}: {message}. Received: {first['input']}") from None


def _check_used(given: Iterable[str], settings: "Iterable[Method]") -> None:
    for field in given:
        if not any(field in type(method).model_fields for method in settings):
            option = next(key for key, name in SIZES.items() if name == field)
            raise UsageError(f"--{option} fits none of the methods asked for", "leave it out")


def _refuse_what_was_asked_for(
    counts: "Iterable[Count]", given: Collection[str], methods: Collection[str]
) -> None:
    for item in counts:
        asked = [
            problem
            for problem in item.problems
            if problem.key.removeprefix("method.") in given or item.method.name in methods
        ]
        if asked:
            raise RecipeError(f"count-params, {item.method.name} on {item.backbone}", asked)


def verify_counts(counts: "Iterable[Count]") -> list[int | None]:
    """Trained parameters of every model, built with random weights, in the order of `counts`.

    `None` where the method cannot be had on the backbone.

    Raises:
        CompacterError: a model trains another number than its `Count` says.
    """
    from compacter_cli.commands.console import load_frameworks
    from compacter_cli.t5.random_backbone import random_backbone

    load_frameworks()
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import shape_of

    built, name, backbone = [], None, None
    for item in counts:
        if item.problems:
            built.append(None)
            continue
        if item.backbone != name:
            name, backbone = item.backbone, random_backbone(shape_of(item.backbone))
        model = T5Model(backbone, item.method, in_place=item.method.trains_in_place)
        built.append(sum(tensor.numel() for tensor in model.trained_tensors().values()))
        if built[-1] != item.own.trained:
            raise CompacterError(
                f"{item.method.name} on {item.backbone}: the formula says {item.own.trained:,}, "
                f"the built model trains {built[-1]:,}"
            )
    return built
