"""`compacter count-params`: exact parameter counts, without building a model."""

from typing import Annotated

import typer
from pydantic import ValidationError

from compacter_cli.commands.console import out, print_json, table_of
from compacter_cli.commands.options import JsonOption
from compacter_cli.errors import CompacterError, RecipeError, UsageError, did_you_mean
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import TASKS_OF, count, reported, reported_percent
from compacter_cli.t5.shapes import PRESETS
from compacter_cli.training.report import component_groups

# Option to the method's own field; each method takes of them what it has.
OPTIONS = {"n": "n", "d": "bottleneck", "rank": "rank", "length": "length", "dim": "intrinsic_dim"}


def command(
    n: Annotated[int | None, typer.Option("--n", help="Hypercomplex division n.")] = None,
    d: Annotated[int | None, typer.Option("--d", help="Bottleneck dimension d.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Rank r of the factors.")] = None,
    length: Annotated[int | None, typer.Option("--length", help="Prompt vectors.")] = None,
    dim: Annotated[int | None, typer.Option("--dim", help="Subspace dimension d' of said.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A method, or all. Repeatable.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Preset name, preset directory, or all. Repeatable."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build each model with random weights and compare.")
    ] = False,
    json_: JsonOption = False,
):
    """Count the parameters that each method trains, beside the paper's figures.

    Example: compacter count-params --n 4 --d 24
    """
    numbers = {"n": n, "d": d, "rank": rank, "length": length, "dim": dim}
    counts = count_params(backbones=backbone, methods=method, **numbers)
    built = verify_counts(counts) if verify else None
    if json_:
        print_json([as_data(item, built) for item in counts])
    else:
        show(counts, built)


def count_params(*, backbones=None, methods=None, **numbers):
    """The `Count` of every method on every backbone.

    Args:
        backbones: preset names or directories; T5-base by default, KerasHub's all for "all".
        methods: names of methods; all by default or for "all".
        **numbers: n, d, rank, length and dim; a method takes of them what it has.

    Raises:
        UsageError: an unknown method or backbone, or a number out of range.
        RecipeError: one backbone was asked for, and a number given does not fit it. In a table of
            several, and where a default does not fit, the `Count` says so instead.
    """
    names = _names(backbones or ["t5_base_multi"], PRESETS)
    given = {OPTIONS[key]: value for key, value in numbers.items() if value is not None}
    settings = [_settings(name, given) for name in _names(methods or ["all"], METHODS)]
    _check_used(given, settings)
    counts = [count(backbone, method) for backbone in names for method in settings]
    if len(names) == 1:
        _refuse_what_was_asked_for(counts, given, methods)
    return counts


def _names(asked, known):
    return list(known) if "all" in asked else list(dict.fromkeys(asked))


def _settings(name, given):
    if name not in METHODS:
        hint = did_you_mean(name, METHODS) or "known: " + ", ".join(METHODS)
        raise UsageError(f'unknown method "{name}"', hint)
    method = METHODS[name]
    try:
        return method(**{key: value for key, value in given.items() if key in method.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].replace("Input should be", "must be")
        option = next(key for key, field in OPTIONS.items() if field == first["loc"][0])
        raise UsageError(f"--{option}: {message}. Received: {first['input']}") from None


def _check_used(given, settings):
    for field in given:
        if not any(field in type(method).model_fields for method in settings):
            option = next(key for key, name in OPTIONS.items() if name == field)
            raise UsageError(f"--{option} fits none of the methods asked for", "leave it out")


def _refuse_what_was_asked_for(counts, given, methods):
    for item in counts:
        asked = [
            problem
            for problem in item.problems
            if problem.key.removeprefix("method.") in given or item.method.name in (methods or ())
        ]
        if asked:
            raise RecipeError(f"count-params, {item.method.name} on {item.backbone}", asked)


def verify_counts(counts):
    """Trained parameters of every model, built with random weights, in the order of `counts`.

    Raises:
        CompacterError: a model trains another number than its `Count` says.
    """
    from compacter_cli.t5.random_backbone import random_backbone
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras

    hide_tensorflow()
    start_keras()
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
        if built[-1] != item.own[0]:
            raise CompacterError(
                f"{item.method.name} on {item.backbone}: the formula says {item.own[0]:,}, the "
                f"built model trains {built[-1]:,}"
            )
    return built


def as_data(item, built=None):
    """A `Count` as plain data."""
    found = {
        "backbone": item.backbone,
        "method": item.method.name,
        "settings": item.method.settings(),
    }
    if item.problems:
        return {**found, "not_available": [problem.message for problem in item.problems]}
    return {
        **found,
        "components": item.components,
        "trained": item.trained,
        "percent": item.percent(),
        "vocabulary_rows": item.rows,
        "backbone_parameters": item.base,
        "own": {
            "trained": item.own[0],
            "backbone_parameters": item.own[1],
            "percent": item.percent_own(),
        },
        "total_params": {str(tasks): item.total(tasks) for tasks in TASKS_OF.values()},
        "total_params_with_layer_norms": {
            str(tasks): item.total(tasks, with_norms=True) for tasks in TASKS_OF.values()
        },
        "closed_form": item.method.closed_form(_shape(item)),
        "paper": {
            "percent": reported_percent(item),
            **{table: (reported(item, table) or {}).get("total_params") for table in TASKS_OF},
        },
        "verified": built is not None,
    }


def _reported(item):
    totals = {table: (reported(item, table) or {}).get("total_params") for table in TASKS_OF}
    return {"percent": reported_percent(item), "total_params": totals}


def _shape(item):
    from compacter_cli.t5.shapes import shape_of

    return shape_of(item.backbone)


def show(counts, built=None):
    """Print counts: by component and beside the paper's for one backbone, briefly for several."""
    if len({item.backbone for item in counts}) > 1:
        out.print(_brief_table(counts))
    else:
        out.print(f"parameters trained on {counts[0].backbone}")
        out.print(_component_table(counts))
        if any(not item.problems for item in counts):
            out.print(_paper_table(counts))
            for line in _legend(counts):
                out.print(line, style="dim", soft_wrap=True)
    if built is not None:
        checked = sum(size is not None for size in built)
        out.print(f"verified: {checked} built models train exactly these numbers")


def _component_table(counts):
    columns = ("adapters", "rule A", "biases", "norms", "prompts", "subspace", "trained")
    table = table_of("method", *columns, numbers=columns, tight=True)
    for item in counts:
        if item.problems:
            table.add_row(item.method.name, *["-"] * (len(columns) - 1), "n/a")
            continue
        groups = component_groups(item.components)
        cells = [groups.get(column) for column in columns[:-1]]
        table.add_row(
            item.method.name, *("-" if c is None else f"{c:,}" for c in cells), f"{item.trained:,}"
        )
    return table


def _paper_table(counts):
    columns = ("%", "paper", "% own", "8 tasks", "paper ", "+ norms", "6 tasks", " paper")
    table = table_of("method", *columns, numbers=columns, tight=True)
    for item in counts:
        if item.problems:
            continue
        glue, super_glue = (reported(item, table) for table in TASKS_OF)
        table.add_row(
            item.method.name,
            f"{item.percent():.4f}",
            _cell(reported_percent(item)),
            f"{item.percent_own():.4f}",
            f"{item.total(8):.3f}",
            _cell(glue and glue["total_params"]),
            f"{item.total(8, with_norms=True):.3f}",
            f"{item.total(6):.3f}",
            _cell(super_glue and super_glue["total_params"]),
        )
    return table


def _cell(value):
    return "-" if value is None else value if isinstance(value, str) else f"{value:.3f}"


def _brief_table(counts):
    columns = ("trained", "%", "% own")
    table = table_of("backbone", "method", *columns, numbers=columns)
    previous = None
    for item in counts:
        name = item.backbone if item.backbone != previous else ""
        previous = item.backbone
        if item.problems:
            table.add_row(name, item.method.name, _why(item), "", "")
        else:
            shares = (f"{item.percent():.4f}", f"{item.percent_own():.4f}")
            table.add_row(name, item.method.name, f"{item.trained:,}", *shares)
    return table


def _why(item):
    return f"n/a ({item.problems[-1].short or item.problems[-1].message})"


def _legend(counts):
    for item in counts:
        if item.problems:
            yield f"{item.method.name}: {_why(item)}"
    shown = [item for item in counts if not item.problems]
    first = shown[0]
    if first.base != first.own[1]:
        yield (
            f"counted, and %, with the paper's vocabulary of {first.rows:,} rows: of "
            f"{first.base:,}; % own: of {first.own[1]:,}, the backbone as it is"
        )
    else:
        yield f"%: of {first.base:,}, the backbone as it is"
    yield (
        "8, 6 tasks: all parameters that many tasks need, as a multiple of the backbone; the "
        "paper leaves out the layer norms each task keeps, + norms counts them"
    )
    forms = [
        f"{item.method.name} {form:,}"
        for item in shown
        if (form := item.method.closed_form(_shape(item))) is not None
    ]
    if forms:
        yield "paper, section 4 (no biases, no layer norms): " + ", ".join(forms)
