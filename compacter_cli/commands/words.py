"""What a run says at its beginning and its end; nothing here prints."""

from compacter_cli.commands.console import table_of
from compacter_cli.files import size_text
from compacter_cli.paper.demo_scores import COMMAND, measured_scores
from compacter_cli.paper.tables import paper_scores
from compacter_cli.tasks import task_of

# Components of `Method.count` as people read them, and the column they stand in.
COMPONENTS = {
    "backbone": ("the whole backbone", None),
    "adapters": ("adapter weights", "adapters"),
    "rule": ("rule A", "rule A"),
    "biases": ("adapter biases", "biases"),
    "linear_biases": ("biases of linear layers", "biases"),
    "norm_biases": ("biases of layer norms", "biases"),
    "head_bias": ("bias of the output head", "biases"),
    "layer_norms": ("layer norms", "norms"),
    "prompts": ("prompt vectors", "prompts"),
    "subspace": ("subspace vector", "subspace"),
    "scales": ("scales, one a weight tensor", "subspace"),
    "output_layer": ("output layer", None),
}


def component_groups(components):
    """Components summed by the column they stand in."""
    groups = {}
    for name, size in components.items():
        column = COMPONENTS[name][1]
        if column:
            groups[column] = groups.get(column, 0) + size
    return groups


def opening_lines(recipe, shape, dataset, updates, device, directory):
    """What a run is about to do, in a few lines."""
    train = recipe.train
    per_epoch = updates // train.epochs
    return [
        f"{recipe.method.title} on {recipe.task}, {recipe.backbone.preset} "
        f"({shape.parameters():,} parameters), {recipe.backbone.precision} on {device}",
        *method_lines(recipe.method, shape),
        f"{len(dataset.train):,} train, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test examples; {truncation_line(dataset, recipe.data)}",
        f"splits: {task_of(recipe).split.words}",
        f"{updates:,} updates ({per_epoch} x {train.epochs} epochs) of "
        f"{train.batch_size * train.accumulate} examples, rate {train.learning_rate:g}"
        + warmup_note(train, updates),
        f"writing to {directory}",
    ]


def method_lines(method, shape):
    """What a method adds to a backbone, what it trains and what it leaves frozen, a line each."""
    count = {name: size for name, size in method.count(shape).items() if size}
    inside = {"backbone", "layer_norms"} | (set() if shape.tied else {"output_layer"})
    added = {name: size for name, size in count.items() if name not in inside}
    kept = {name: size for name, size in count.items() if name in inside}
    total, frozen = sum(count.values()), shape.parameters() - sum(kept.values())
    share = 100 * total / shape.parameters()
    return [
        f"adds     {_listed(added) or 'nothing'}",
        f"trains   {total:,} parameters ({share:.4f} %): "
        + " and ".join(filter(None, (added and "what it adds", _listed(kept)))),
        f"freezes  {frozen:,} of the backbone's {shape.parameters():,}",
    ]


def _listed(components):
    return ", ".join(f"{COMPONENTS[name][0]} {size:,}" for name, size in components.items())


def truncation_line(dataset, section):
    """How many sources were cut, of all splits."""
    cut = sum(split.truncated for split in (dataset.train, dataset.validation, dataset.test))
    return f"{cut:,} sources cut at {section.source_length} tokens" if cut else "no source cut"


def warmup_note(train, updates):
    """What the schedule amounts to where the warm-up takes all or most of the run."""
    if train.warmup_steps >= updates:
        reached = train.learning_rate * (updates - 1) / train.warmup_steps
        return (
            f"; the {train.warmup_steps} warm-up steps are the whole run, "
            f"so the rate only rises, to {reached:.2g}"
        )
    return f"; {train.warmup_steps} warm-up steps, then linear decay"


def scores_line(scores):
    """`accuracy 53.24 (majority 52.52)`, and invalid answers where there are any."""
    parts = [
        f"{name} {value:.2f} (majority {scores.majority[name]:.2f})"
        for name, value in scores.metrics.items()
    ]
    invalid = f", {scores.invalid} of {scores.count} answers invalid" if scores.invalid else ""
    constant = ", no better than always the most frequent answer" if scores.constant else ""
    return ", ".join(parts) + invalid + constant


def result_of(recipe, shape, epochs, best, test, **more):
    """The run's result as plain data: what `result.json` holds and `--json` prints."""
    trained = sum(recipe.method.count(shape).values())
    return {
        "task": recipe.task,
        "method": recipe.method.name,
        "preset": recipe.backbone.preset,
        "seed": recipe.seed,
        "trained_parameters": trained,
        "trained_percent": 100 * trained / shape.parameters(),
        "backbone_parameters": shape.parameters(),
        "epochs": epochs,
        "best_epoch": best.number,
        "validation": best.validation.as_dict(),
        "test": test.as_dict(),
        "paper": paper_scores(
            task_of(recipe), recipe.method.name, getattr(recipe.method, "n", None)
        ),
        "measured": measured_scores(recipe),
        **more,
    }


def result_table(result):
    """A result as a table: each metric before and after training, beside what it compares with."""
    test = result["test"]
    return _table_of_scores(
        test,
        {
            "untrained": _all_metrics(result.get("before")),
            "validation": _all_metrics(result["validation"]),
            "test": _all_metrics(test),
            "majority (test)": test["majority"],
            "full fine-tuning": (result.get("measured") or {}).get("full"),
            "paper (T5-base)": _by_metric(test, result["paper"]),
        },
    )


def scores_table(found):
    """Scores of one split as a table, beside the majority's and the paper's."""
    return _table_of_scores(
        found,
        {
            "score": _all_metrics(found),
            "majority": found["majority"],
            "paper (T5-base)": _by_metric(found, found["paper"]),
        },
    )


def _table_of_scores(scores, columns):
    """A row a metric, a column each that has scores at all; a dash where one lacks the metric."""
    columns = {title: values for title, values in columns.items() if values}
    table = table_of("metric", *columns, numbers=tuple(columns))
    for name in _all_metrics(scores):
        cells = [values.get(name) for values in columns.values()]
        table.add_row(name, *("-" if cell is None else f"{cell:.2f}" for cell in cells))
    return table


def _all_metrics(scores):
    """Metrics and those that stand beside them; empty where there are no scores."""
    return {**scores["metrics"], **scores.get("beside", {})} if scores else {}


def _by_metric(scores, paper):
    return dict(zip(scores["metrics"], paper, strict=True)) if paper else {}


def ending_lines(result):
    """What a run came to, and where full fine-tuning's score is from, a line each."""
    lines = [
        f"trained {result['trained_parameters']:,} of {result['backbone_parameters']:,} parameters "
        f"({result['trained_percent']:.4f} %) in {result['training_seconds']:.0f} s, best epoch "
        f"{result['best_epoch']} of {result['epochs']}, peak memory "
        f"{size_text(result['peak_memory_bytes'])}",
        f"adapter file: {size_text(result['adapter_bytes'])}, {result['run']}/best",
    ]
    if measured := result.get("measured"):
        lines.append(f"full fine-tuning: mean of {measured['seeds']} seeds, measured by {COMMAND}")
    return lines


def warnings_of(scores):
    """Sentences on scores that look better than they are."""
    found = []
    if scores["metrics"] == scores["majority"]:
        found.append("no better than always giving the most frequent answer")
    if scores["invalid"]:
        found.append(f"{scores['invalid']} of {scores['count']} answers were no label of the task")
    return found


def bar_chart(values, width=40):
    """A line of text a value from 0 to 100: its name, a bar of at most `width` blocks, itself."""
    longest = max(map(len, values))
    return [
        f"{name:{longest}}  {'█' * round(width * max(value, 0) / 100):{width}}  {value:6.2f}"
        for name, value in values.items()
    ]
