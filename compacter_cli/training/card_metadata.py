"""The header of a model card: what model hubs read, in their own words, as YAML."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Task
    from compacter_cli.training.records import Result

# What Hugging Face's hub calls KerasHub's presets, the data sets, and the metrics.
HUB_MODELS = {
    "t5_small_multi": "google-t5/t5-small",
    "t5_base_multi": "google-t5/t5-base",
    "t5_large_multi": "google-t5/t5-large",
    "t5_1.1_small": "google/t5-v1_1-small",
    "t5_1.1_base": "google/t5-v1_1-base",
    "t5_1.1_large": "google/t5-v1_1-large",
    "t5_1.1_xl": "google/t5-v1_1-xl",
    "t5_1.1_xxl": "google/t5-v1_1-xxl",
    "flan_small_multi": "google/flan-t5-small",
    "flan_base_multi": "google/flan-t5-base",
    "flan_large_multi": "google/flan-t5-large",
}
_HUB_DATA = {"glue": "nyu-mll/glue", "super_glue": "aps/super_glue"}
_HUB_METRICS = {
    "macro_f1": "f1",
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "question_em": "exact_match",
    "token_f1": "f1",
    "rouge_l": "rouge",
}


def metadata(recipe: Recipe, result: Result, task: Task) -> dict[str, Any]:
    """What model hubs read, by their keys."""
    benchmark, name = task.name.partition("/")[::2]
    kind = "text-classification" if task.labels else "text2text-generation"
    data = _HUB_DATA.get(benchmark)
    known = {"datasets": [data]} if data else {}
    base = HUB_MODELS.get(recipe.backbone.preset)  # of a folder's name nothing is known
    based = {"base_model": base} if base else {}
    dataset = {"name": task.name, "type": data or task.name}
    if data:
        dataset["config"] = name
    return {
        "license": "unknown",
        "library_name": "compacter",
        "pipeline_tag": kind,
        "tags": ["t5", "adapter", "parameter-efficient-fine-tuning", recipe.method.name],
        **based,
        **known,
        "metrics": list(dict.fromkeys(map(_hub_metric, task.metrics))),
        "model-index": [
            {
                "name": f"{recipe.method.name} on {task.name}",
                "results": [
                    {
                        "task": {"type": kind},
                        "dataset": dataset,
                        "metrics": [
                            {
                                "type": _hub_metric(metric),
                                "name": f"{metric} (test)",
                                "value": value,
                            }
                            for metric, value in _rounded(result["test"]["metrics"]).items()
                        ],
                    }
                ],
            }
        ],
    }


def base_model(preset: str) -> str:
    """What hubs call a published backbone; else the last name alone, as of a folder."""
    if preset.startswith(("demo/", "random/")):
        return f"compacter-{preset.replace('/', '-')}"
    if known := HUB_MODELS.get(preset):
        return known
    last = preset.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+|(?<=[.-])[.-]+", "-", last, flags=re.ASCII).strip(".-") or "unnamed"


def _hub_metric(name: str) -> str:
    return _HUB_METRICS.get(name, name)


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in metrics.items() if math.isfinite(value)}


def yaml_lines(value: Mapping[str, Any] | Sequence[Any], indent: str = "") -> Iterator[str]:
    """The lines of YAML of nested lists and dicts; texts and numbers are written as in JSON."""
    named = isinstance(value, dict)
    for key, one in value.items() if named else enumerate(value):
        start = f"{indent}{key}:" if named else f"{indent}-"
        if not isinstance(one, (dict, list)):
            yield f"{start} {_quoted(one)}"
            continue
        below = list(yaml_lines(one, f"{indent}  "))
        if named:
            yield start
        else:  # its first line stands behind the dash
            below[0] = f"{start} {below[0].lstrip()}"
        yield from below


def _quoted(value: object) -> str:
    """A text or number in YAML, which takes no character that does not show."""
    shown = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in shown)
