"""`attach`: a method's layers inside KerasHub's own T5, for its `fit()` and `generate()`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.adapters.adapted import check_free, put_in
from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.attached import Attached
from compacter_cli.adapters.fitting import check_trained_on, method_of
from compacter_cli.adapters.manifest import adapter_in
from compacter_cli.errors import UsageError, excerpt
from compacter_cli.methods import METHODS
from compacter_cli.methods.base import Method
from compacter_cli.t5.loading import Backbone
from compacter_cli.t5.placement import backbone_weights

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone


def attach(backbone: T5Backbone, adapter: Method | Path | str, *, seed: int = 0) -> Attached:
    """Put a method's layers into a KerasHub `T5Backbone`, around the layers they change.

    Bottlenecks, deltas, scales and biases have a place there. The backbone is frozen but for what
    the method trains (all layer norms, of bottlenecks), whatever was frozen before; a `T5Seq2SeqLM`
    that is built on it, before or after, then fits and generates with the adapter, and is saved and
    loaded with it.

    Args:
        backbone: KerasHub `T5Backbone`, any T5.
        adapter: settings of a method, for untrained layers; or the directory of a saved adapter,
            or of a run, whose backbone must be this one.
        seed: Seed of untrained layers' initial values.

    Returns:
        An `Attached`, with the trained variables by name, and `save()`, `load()` and `detach()`.

    Raises:
        UsageError: the first is no `T5Backbone`, or the second neither settings nor a directory;
            the method adds nothing, or what has no place in KerasHub's T5; its sizes do not fit,
            an adapter is attached already, or Keras' own LoRA; the backbone computes in float16.
        CompacterError: the adapter is damaged, or was trained on another backbone.

    Examples:
        >>> lm = keras_hub.models.T5Seq2SeqLM.from_preset("path/to/preset")
        >>> attached = attach(lm.backbone, METHODS["compacterpp"](n=4, bottleneck=24))
        >>> lm.compile(optimizer=keras.optimizers.AdamW(3e-3)); lm.fit(...)
        >>> attached.save("my_adapter", "path/to/preset")
    """
    _check_given(backbone, adapter)
    if isinstance(adapter, Method):
        return put_in(backbone, adapter, seed)
    check_free(backbone)  # whose norms may be trained, and no longer those of its preset
    saved = load_adapter(adapter_in(adapter))
    check_trained_on(saved, backbone_weights(backbone))
    return put_in(backbone, method_of(saved, backbone), saved=saved)


def _check_given(backbone: object, adapter: object) -> None:
    from keras_hub.models import T5Backbone

    if not isinstance(backbone, T5Backbone):
        held = "backbone.keras" if isinstance(backbone, Backbone) else "lm.backbone"
        raise UsageError(
            f"expected a KerasHub T5Backbone, got {type(backbone).__name__}",
            f"attach({held}, ...)",
        )
    named = isinstance(adapter, str) and adapter in METHODS and not Path(adapter).exists()
    if named or not isinstance(adapter, Method | str | Path):
        name = next((key for key in METHODS if adapter in (key, METHODS[key])), "compacter")
        raise UsageError(
            f"expected settings of a method or a directory, got {_shown(adapter)}",
            f'METHODS["{name}"]()',
        )


def _shown(adapter: object) -> str:
    return f'"{adapter}"' if isinstance(adapter, str) else excerpt(adapter)
