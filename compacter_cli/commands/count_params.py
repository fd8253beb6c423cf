"""`compacter count-params`: exact parameter counts, without building a model."""

from typing import Annotated

import typer

from compacter_cli.backbones import shape_of
from compacter_cli.console import out, print_json, table_of
from compacter_cli.errors import RecipeError, UsageError, did_you_mean
from compacter_cli.methods import METHODS
from compacter_cli.options import JsonOption
from compacter_cli.report import denominators

OPTIONS = {"n": "n", "d": "bottleneck", "rank": "rank"}  # option to the method's own field


def command(
    n: Annotated[int | None, typer.Option("--n", help="Hypercomplex division n.")] = None,
    d: Annotated[int | None, typer.Option("--d", help="Bottleneck dimension d.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Rank r of the factors.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A method; all by default. Repeatable.")
    ] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="KerasHub preset name or preset directory.")
    ] = "t5_base_multi",
    json_: JsonOption = False,
):
    """Count the parameters that each method trains on a backbone.

    Example: compacter count-params --n 4 --d 24
    """
    options = {"n": n, "d": d, "rank": rank}
    found = count_params(backbone=backbone, methods=method, **options)
    print_json(found) if json_ else show(found)


def count_params(*, backbone="t5_base_multi", methods=None, n=None, d=None, rank=None):
    """Exact counts by method, as plain data; a method takes of n, d and rank what it has.

    Raises:
        UsageError: an unknown method or backbone.
        RecipeError: the numbers do not fit the backbone.
    """
    shape = shape_of(backbone)
    given = {OPTIONS[key]: v for key, v in {"n": n, "d": d, "rank": rank}.items() if v is not None}
    rows = [_count(settings, shape) for settings in _settings(methods or METHODS, given, shape)]
    return {"backbone": backbone, "denominators": denominators(shape), "methods": rows}


def _settings(names, given, shape):
    for name in names:
        if name not in METHODS:
            hint = did_you_mean(name, METHODS) or "known: " + ", ".join(METHODS)
            raise UsageError(f'unknown method "{name}"', hint)
        method = METHODS[name]
        fields = {key: value for key, value in given.items() if key in method.model_fields}
        yield _checked(method, fields, shape)


def _checked(method, fields, shape):
    from pydantic import ValidationError

    try:
        settings = method(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].replace("Input should be", "must be")
        raise UsageError(f"{first['loc'][0]}: {message}. Received: {first['input']}") from None
    problems = settings.problems(shape)
    if problems:
        raise RecipeError("count-params", problems)
    return settings


def _count(settings, shape):
    components = {name: size for name, size in settings.count(shape).items() if size}
    trained = sum(components.values())
    whole = "backbone" in components
    percent = {
        key: 100.0 if whole else 100 * trained / size for key, size in denominators(shape).items()
    }
    return {
        "method": settings.name,
        "title": settings.title,
        "settings": settings.settings(),
        "components": components,
        "trained": trained,
        "percent": percent,
        "closed_form": settings.closed_form(shape),
    }


def show(found):
    """Print the counts, a row a method, with both denominators where both make sense."""
    shares = {"paper": "% paper", "backbone": "% own"}
    shares = {key: title for key, title in shares.items() if key in found["denominators"]}
    columns = ("adapters", "rule A", "biases", "norms", "trained", *shares.values())
    table = table_of("method", *columns, numbers=columns)
    for row in found["methods"]:
        parts = [
            row["components"].get(name) for name in ("adapters", "rule", "biases", "layer_norms")
        ]
        table.add_row(
            row["method"],
            *("-" if size is None else f"{size:,}" for size in (*parts, row["trained"])),
            *(f"{row['percent'][key]:.4f}" for key in shares),
        )
    out.print(f"parameters trained on {found['backbone']}")
    out.print(table)
    for line in _legend(found):
        out.print(line, style="dim", soft_wrap=True)


def _legend(found):
    sizes = found["denominators"]
    if "paper" in sizes:
        yield f"% paper: of {sizes['paper']:,}, with the paper's vocabulary of 32,100 rows"
    yield f"% own: of {sizes['backbone']:,}, the backbone as it is"
    forms = [
        f"{row['method']} {row['closed_form']:,}"
        for row in found["methods"]
        if row["closed_form"] is not None
    ]
    if forms:
        yield "paper, section 4 (no biases, no layer norms): " + ", ".join(forms)
