"""Whether a saved adapter fits a KerasHub backbone, and what is attached to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.adapters.restoring import check_count, recipe_of_manifest, undescribed
from compacter_cli.errors import CompacterError
from compacter_cli.t5.loading import fingerprint_of
from compacter_cli.t5.placement import shape_of_backbone
from compacter_cli.t5.variables import check_fit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras
    import keras_hub

    from compacter_cli.adapters.adapter_file import AdapterFile
    from compacter_cli.methods.base import Method


def method_of(loaded: AdapterFile, backbone: keras_hub.models.T5Backbone) -> Method:
    """The method of a saved adapter, whose file holds as many weights as it trains.

    Raises:
        CompacterError: its manifest does not describe it.
    """
    method = recipe_of_manifest(loaded.manifest, loaded.directory).method
    check_count(loaded, method, shape_of_backbone(backbone))
    return method


def check_values(loaded: AdapterFile, trained: Mapping[str, keras.Variable]) -> None:
    """Raise `CompacterError` unless a saved adapter's tensors are those of `trained`."""
    try:
        check_fit(trained, loaded.tensors)
    except ValueError as error:
        raise undescribed(loaded.directory, error) from error


def check_trained_on(loaded: AdapterFile, weights: Mapping[str, keras.Variable]) -> None:
    """Raise `CompacterError` unless a saved adapter was trained on a backbone of these weights."""
    trained_on, found = loaded.manifest["backbone"], fingerprint_of(weights)
    if (wanted := trained_on["fingerprint"]) == found:
        return
    rounded = any(variable.dtype != "float32" for variable in weights.values())
    raise CompacterError(
        f"{loaded.directory} was trained on another backbone: fingerprint {wanted[:12]}…, "
        f"this one has {found[:12]}…",
        'load the preset with dtype="mixed_bfloat16": its weights are rounded here'
        if rounded
        else f"load it onto {trained_on['preset']}",
    )
