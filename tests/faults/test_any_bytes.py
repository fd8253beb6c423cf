"""Adapters whose bytes are anybody's: the same tensors, or an error of one line."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as draw

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.errors import CompacterError

ADAPTER = Path(__file__).parents[1] / "fixtures" / "bitfit_adapter"
NAMES = ("adapter.json", "adapter.safetensors")
LONGER = os.environ.get("COMPACTER_FUZZ_EXAMPLES")  # as many, and others each time

# Bytes put in the place of others: what JSON, safetensors and their numbers are made of, and any.
PIECES = draw.sampled_from(
    [b"[", b"{", b"}", b'"', b"-", b"9" * 30, b"1e999", b"NaN", b"null", b"\\ud800", b"\\u0000",
     b"[" * 3000, b"\0\0\xc0\x7f", b"\xff" * 8]
) | draw.binary(max_size=9)  # fmt: skip
EDITS = draw.lists(
    draw.tuples(draw.sampled_from(NAMES), draw.floats(0, 1), draw.integers(0, 20), PIECES),
    min_size=1,
    max_size=4,
)


def edited(edits, signed):
    """The two files by name with some bytes replaced, vouched for again where `signed`."""
    files = {name: bytearray((ADAPTER / name).read_bytes()) for name in NAMES}
    for name, share, removed, piece in edits:
        start = int(share * len(files[name]))
        files[name][start : start + removed] = piece
    if signed:
        files["adapter.json"] = resigned(files)
    return files


def resigned(files):
    try:
        manifest = json.loads(files["adapter.json"])
        manifest["sha256"] = hashlib.sha256(files["adapter.safetensors"]).hexdigest()
        manifest["bytes"] = len(files["adapter.safetensors"])
        manifest.pop("manifest_sha256", None)
        return json.dumps(manifest).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return files["adapter.json"]


@settings(max_examples=int(LONGER or 300), deadline=None, database=None, derandomize=not LONGER)
@given(EDITS, draw.booleans())
def test_any_bytes_are_an_adapter_or_an_error_of_one_line(edits, signed):
    expected = load_adapter(ADAPTER).tensors
    with tempfile.TemporaryDirectory() as directory:
        for name, data in edited(edits, signed).items():
            (Path(directory) / name).write_bytes(data)
        try:
            found = load_adapter(directory).tensors
        except CompacterError as error:
            told = f"{error} {error.hint or ''}"
            assert told.isprintable(), told
            assert len(told) < 1_000
            return
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in found.values())
    if not signed:
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
