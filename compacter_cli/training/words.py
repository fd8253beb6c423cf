"""What is said of a run at its beginning and its end, as lines; nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.errors import counted, were
from compacter_cli.files import size_text
from compacter_cli.paper.demo_scores import COMMAND
from compacter_cli.paper.tables import paper_tables
from compacter_cli.tasks import task_of
from compacter_cli.training.data_words import labels_line, size_notes, survey_notes
from compacter_cli.training.records import epochs_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compacter_cli.methods.base import Method
    from compacter_cli.t5.shapes import T5Shape
    from compacter_cli.training.display import Opening
    from compacter_cli.training.records import Result, ScoresRecord
    from compacter_cli.training.scoring import Scores


def opening_lines(opening: Opening) -> list[str]:
    """What a run is about to do, in a few lines."""
    recipe, shape, train = opening.recipe, opening.shape, opening.recipe.train
    per_epoch = opening.updates // train.epochs
    sizes = ", ".join(f"{size:,} {split}" for split, size in opening.sizes.items())
    return [
        f"{recipe.method.title} on {recipe.task}, {recipe.backbone.preset} "
        f"({shape.parameters():,} parameters), {recipe.backbone.precision} on {opening.device}"
        + (f", by {opening.processes} processes" if opening.processes > 1 else ""),
        *method_lines(recipe.method, shape),
        "; ".join((f"{sizes} examples", *_cut(opening))) + _lost(opening.unwritable),
        f"splits: {task_of(recipe).splits_words}",
        f"{counted(opening.updates, 'update')} ({per_epoch} x {counted(train.epochs, 'epoch')}) of "
        f"{counted(train.batch_size * train.accumulate, 'example')}, rate {train.peak_rate:g} "
        f"({rate_source(recipe.method, train.peak_rate, shape)})"
        + warmup_note(train.warmup_steps, train.peak_rate, opening.updates),
        *(labels_line(opening.survey.labels) if opening.survey else []),
        f"writing to {opening.directory}",
        *(f"note: {sentence}" for sentence in opening_notes(opening)),
    ]


def opening_notes(opening: Opening) -> list[str]:
    """What may be otherwise than meant, of schedule and rows."""
    found = warmup_advice(opening.recipe.train.warmup_steps, opening.updates)
    if opening.survey:
        found += size_notes(opening.sizes)
        found += survey_notes(opening.survey, opening.recipe)
    return found


def method_lines(method: Method, shape: T5Shape) -> list[str]:
    """What a method adds to a backbone, what it trains and what it leaves frozen, a line each."""
    count = {name: size for name, size in method.count(shape).items() if size}
    inside = {"backbone", "layer_norms"} | (set() if shape.tied else {"output_layer"})
    added = {name: size for name, size in count.items() if name not in inside}
    kept = {name: size for name, size in count.items() if name in inside}
    total, frozen = sum(count.values()), shape.parameters() - sum(kept.values())
    share = 100 * total / shape.parameters()
    trained = filter(None, ("what it adds" if added else "", _listed(method, kept)))
    return [
        f"adds     {_listed(method, added) or 'nothing'}",
        f"trains   {total:,} parameters ({share:.4f} %): " + " and ".join(trained),
        f"freezes  {frozen:,} of the backbone's {shape.parameters():,}",
    ]


def _listed(method: Method, components: Mapping[str, int]) -> str:
    return ", ".join(f"{method.component(name).words} {n:,}" for name, n in components.items())


def _cut(opening: Opening) -> list[str]:
    """How many sources were cut; nothing where a note tells it by split."""
    if not opening.truncated:
        return ["no source cut"]
    length = opening.recipe.data.source_length
    told = f"{counted(opening.truncated, 'source')} cut at {length} tokens"
    return [] if opening.survey else [told]


def _lost(count: int) -> str:
    """How many targets no answer can equal, where there are any."""
    return f"; {counted(count, 'target')} with what the vocabulary cannot write" if count else ""


def rate_source(method: Method, rate: float, shape: T5Shape) -> str:
    """Whose a peak rate is: the paper's, the search's on the demo tasks, or the recipe's alone."""
    searched = method.searched_rate
    if rate == searched:
        return "the best of a search on the demo tasks"
    if rate != method.learning_rate:
        return "the recipe's"
    if method.name not in paper_tables()["table1"]:
        return "the method's"
    if searched is None or shape.as_large_as_base:
        return "the paper's"
    return f"the paper's for T5-base; on a small T5 a search found {searched:g}"


def warmup_note(warmup_steps: int, peak_rate: float, updates: int) -> str:
    """What the schedule amounts to where the warm-up takes all or most of the run."""
    if warmup_steps >= updates:
        reached = peak_rate * (updates - 1) / warmup_steps
        return (
            f"; the {warmup_steps} warm-up steps are the whole run, "
            f"so the rate only rises, to {reached:.2g}"
        )
    return f"; {counted(warmup_steps, 'warm-up step')}, then linear decay"


def warmup_advice(warmup_steps: int, updates: int) -> list[str]:
    """A sentence where more than a fifth of all updates are warm-up, with what to set instead."""
    if 5 * warmup_steps <= updates:
        return []
    share = min(100, round(100 * warmup_steps / updates))
    return [
        f"warm-up is {share} % of {counted(updates, 'update')}, more than a fifth, so little is "
        f"trained at the full rate: --set train.warmup_steps={updates // 10} makes it a tenth"
    ]


def scores_line(scores: Scores) -> str:
    """`accuracy 53.24 (majority 52.52)`, and invalid answers where there are any."""
    parts = [
        f"{name} {value:.2f} (majority {scores.majority[name]:.2f})"
        for name, value in scores.metrics.items()
    ]
    invalid = (
        f", {scores.invalid} of {counted(scores.count, 'answer')} invalid" if scores.invalid else ""
    )
    constant = ", no better than always the most frequent answer" if scores.constant else ""
    return ", ".join(parts) + invalid + constant


def ending_lines(result: Result) -> list[str]:
    """What a run came to, and where full fine-tuning's score is from, a line each."""
    lines = [
        f"trained {result['trained_parameters']:,} of {result['backbone_parameters']:,} parameters "
        f"({result['trained_percent']:.4f} %) in {result['training_seconds']:.0f} s, "
        f"{epochs_words(result)}, peak memory "
        f"{size_text(result['peak_memory_bytes'])}",
        f"adapter file: {size_text(result['adapter_bytes'])}, {result['run']}/best",
    ]
    if measured := result.get("measured"):
        lines.append(
            f"full fine-tuning: mean of {counted(measured['seeds'], 'seed')}, measured by {COMMAND}"
        )
    return lines


def warnings_of(scores: ScoresRecord) -> list[str]:
    """Sentences on scores that look better than they are."""
    found = []
    if scores["metrics"] == scores["majority"]:
        found.append("no better than always giving the most frequent answer")
    if invalid := scores["invalid"]:
        remedy = ""
        if invalid == scores["count"]:
            remedy = (
                ": it has not learned yet to write them, which takes more updates "
                "(train.epochs, a smaller train.batch_size) and no small train.patience"
            )
        answers = counted(scores["count"], "answer")
        found.append(f"{invalid:,} of {answers} {were(invalid)} no label of the task{remedy}")
    return found


def time_words(seconds: float | None) -> str:
    """Seconds as people read them."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:,.1f} h"
