"""Hints for the names of Hugging Face's hub, which nothing is fetched from."""

from __future__ import annotations

import os
import re
from pathlib import Path

# KerasHub's presets of the same weights.
SAME = {
    **{f"t5-{size}": f"t5_{size}_multi" for size in ("small", "base", "large")},
    **{f"google/t5-v1_1-{size}": f"t5_1.1_{size}" for size in ("small", "base", "large")},
    **{f"google/t5-v1_1-{size}": f"t5_1.1_{size}" for size in ("xl", "xxl")},
    **{f"google/flan-t5-{size}": f"flan_{size}_multi" for size in ("small", "base", "large")},
}
_NAME = re.compile(r"(hf://)?(?P<name>[\w.-]+/[\w.-]+)")


def hub_hint(preset: str) -> str | None:
    """What to do with a name of the hub: `None` where `preset` is none."""
    named = _NAME.fullmatch(preset)
    name = named["name"] if named else preset.removeprefix("hf://")
    if preset.startswith((".", "~", "/")) or not (named or name in SAME):
        return None
    ours = SAME.get(name.removeprefix("google-t5/"))
    same = f"KerasHub's preset of the same weights is {ours}; or, " if ours else ""
    if kept := cached_snapshot(name):
        return f"{same}a copy of {name} is on this disk: give {kept}"
    return (
        f"{same}of Hugging Face's hub nothing is fetched: hf download {name} --local-dir DIR, "
        "and give DIR"
    )


def cached_snapshot(name: str) -> Path | None:
    """The directory in which Hugging Face's own programs keep a model, `None` where it is not."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    kept = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    return next((path.parent for path in sorted(kept.glob("*/config.json"))), None)
