import errno
import hashlib
import json
import os
import pickle
import resource
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from compacter_cli.adapters.adapter_file import (
    check_backbone,
    load_adapter,
    manifest_of,
    save_adapter,
)
from compacter_cli.adapters.card_file import signed
from compacter_cli.errors import CompacterError
from compacter_cli.t5.loading import fingerprint_of, load_backbone
from compacter_cli.t5.shapes import T5Shape

SHAPE = T5Shape(128, 64, 128, 2, 4, 16)
FINGERPRINT, VOCABULARY = "f" * 64, "b" * 64


def some_tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "rule.A": torch.randn(4, 4, 4, generator=generator),
        "encoder.0.feed_forward.adapter.down.s": torch.randn(4, 6, 1, generator=generator),
        "encoder.layer_norm": torch.randn(7, generator=generator),
    }


def backbone_of(fingerprint=FINGERPRINT, vocabulary=VOCABULARY, preset="some/preset"):
    return SimpleNamespace(
        preset=preset, fingerprint=fingerprint, vocabulary=SimpleNamespace(sha256=vocabulary)
    )


def manifest_for(tensors):
    return manifest_of(
        tensors,
        method={"name": "compacterpp", "n": 4},
        task="demo/smoke",
        backbone=backbone_of(),
        shape=SHAPE,
        recipe={"task": "demo/smoke", "seed": 42},
        metrics={"epoch": 3, "accuracy": 51.5},
    )


def save(directory, seed=0):
    tensors = some_tensors(seed)
    save_adapter(directory, tensors, manifest_for(tensors))
    return tensors


@pytest.fixture
def adapter(tmp_path):
    """A directory with a saved adapter."""
    save(tmp_path / "best")
    return tmp_path / "best"


def change_manifest(directory, **changes):
    """Other values in a manifest that has no hash of itself, as the first versions wrote it."""
    path = directory / "adapter.json"
    manifest = {**json.loads(path.read_text()), **changes}
    manifest.pop("manifest_sha256", None)
    path.write_text(json.dumps(manifest))


def write_weights(directory, data):
    """Other weights, for which the manifest vouches."""
    (directory / "adapter.safetensors").write_bytes(data)
    change_manifest(directory, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor), name


# What is written.


def test_a_saved_adapter_loads_bit_equal(tmp_path):
    tensors = some_tensors()
    tensors["rule.A"][0, 0, 0] = -0.0
    tensors["rule.A"][0, 0, 1] = 1e-42  # a denormal
    save_adapter(tmp_path / "best", tensors, manifest_for(tensors))
    loaded = load_adapter(tmp_path / "best")
    assert_equal(loaded.tensors, tensors)
    as_bits = loaded.tensors["rule.A"].view(torch.int32)
    assert torch.equal(as_bits, tensors["rule.A"].view(torch.int32))
    assert loaded.directory == tmp_path / "best"


def test_the_file_holds_exactly_the_tensors_and_the_manifest_describes_them(adapter):
    assert sorted(p.name for p in adapter.iterdir()) == ["adapter.json", "adapter.safetensors"]
    data = (adapter / "adapter.safetensors").read_bytes()
    assert_equal(safetensors.torch.load(data), some_tensors())
    manifest = json.loads((adapter / "adapter.json").read_text())
    assert manifest["format"] == "compacter-adapter"
    assert manifest["version"] == 1
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["bytes"] == len(data)
    assert manifest["tensors"] == {
        "rule.A": {"shape": [4, 4, 4], "dtype": "F32"},
        "encoder.0.feed_forward.adapter.down.s": {"shape": [4, 6, 1], "dtype": "F32"},
        "encoder.layer_norm": {"shape": [7], "dtype": "F32"},
    }
    assert manifest["trained_parameters"] == 64 + 24 + 7
    assert manifest["method"] == {"name": "compacterpp", "n": 4}
    assert manifest["task"] == "demo/smoke"
    assert manifest["recipe"] == {"task": "demo/smoke", "seed": 42}
    assert manifest["metrics"] == {"epoch": 3, "accuracy": 51.5}
    assert manifest["backbone"] == {
        "preset": "some/preset",
        "fingerprint": FINGERPRINT,
        "vocabulary_sha256": VOCABULARY,
        "parameters": SHAPE.parameters(),
    }


def test_tensors_that_require_gradients_are_saved(tmp_path):
    tensors = {"w": torch.arange(3.0, requires_grad=True)}
    save_adapter(tmp_path / "last", tensors, manifest_for(tensors))
    assert load_adapter(tmp_path / "last").tensors["w"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_umask_decides_who_may_read(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(tmp_path / "best")
    finally:
        os.umask(before)
    for path in (tmp_path / "best").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == mode, path.name


def test_a_second_save_replaces_the_first_and_leaves_nothing_beside_it(tmp_path):
    save(tmp_path / "best", seed=1)
    second = save(tmp_path / "best", seed=2)
    assert_equal(load_adapter(tmp_path / "best").tensors, second)
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_missing_parent_folders_are_made(tmp_path):
    tensors = save(tmp_path / "a" / "b" / "best")
    assert_equal(load_adapter(tmp_path / "a" / "b" / "best").tensors, tensors)


# What is refused.


def assert_refused(directory, *words):
    with pytest.raises(CompacterError) as caught:
        load_adapter(directory)
    for word in (*words, str(directory)):
        assert word in str(caught.value)
    return caught.value


def test_every_flipped_byte_of_the_weights_is_noticed(adapter):
    path = adapter / "adapter.safetensors"
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        assert_refused(adapter, "adapter.safetensors", "is damaged", "sha256")


def test_truncated_weights_are_noticed_with_both_sizes(adapter):
    path = adapter / "adapter.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    error = assert_refused(adapter, "is damaged", f"({len(data) - 5} of {len(data)} bytes)")
    assert "copy the adapter again" in error.hint


def test_empty_weights_are_noticed(adapter):
    (adapter / "adapter.safetensors").write_bytes(b"")
    assert_refused(adapter, "is damaged")


def test_missing_weights_are_named(adapter):
    (adapter / "adapter.safetensors").unlink()
    assert_refused(adapter, "adapter.safetensors", "is missing")


def test_weights_that_cannot_be_read_are_an_error_of_one_line(adapter, monkeypatch):
    opened = os.open

    def refuse(path, *flags):
        if str(path).endswith("adapter.safetensors"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *flags)

    monkeypatch.setattr(os, "open", refuse)
    assert_refused(adapter, "Permission denied")


def test_a_missing_manifest_is_named(adapter):
    (adapter / "adapter.json").unlink()
    assert_refused(adapter, "adapter.json is missing")


def test_a_missing_directory_is_named(tmp_path):
    assert_refused(tmp_path / "nothing", "no adapter in")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "best").write_text("not a folder")
    assert_refused(tmp_path / "best")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"compacter-adapter"', "{}", '{"format": "other"}']
)
def test_a_manifest_that_is_none_is_refused(adapter, text):
    (adapter / "adapter.json").write_text(text)
    assert_refused(adapter, "adapter.json")


def test_a_manifest_that_is_no_utf8_is_refused(adapter):
    (adapter / "adapter.json").write_bytes(b'{"format": "\xff\xfe"}')
    assert_refused(adapter, "adapter.json", "is damaged")


def test_a_truncated_manifest_is_refused_wherever_it_was_cut(adapter):
    path = adapter / "adapter.json"
    text = path.read_text().rstrip()
    for length in range(0, len(text), 11):
        path.write_text(text[:length])
        assert_refused(adapter, "adapter.json", "is damaged")


@pytest.mark.parametrize("key", ["method", "task", "backbone", "tensors", "sha256", "recipe"])
def test_a_manifest_that_lacks_a_key_is_refused_by_its_name(adapter, key):
    path = adapter / "adapter.json"
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))
    assert_refused(adapter, "it lacks", key)


def test_a_newer_format_is_refused_with_both_versions_and_its_writer(adapter):
    change_manifest(adapter, version=2, created_by="compacter 9.0")
    error = assert_refused(adapter, "format version 2", "reads 1")
    assert "compacter 9.0" in error.hint


def test_a_flipped_byte_in_the_manifest_never_ends_in_a_traceback(adapter):
    path = adapter / "adapter.json"
    data = path.read_bytes()
    escaped = {}
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x01
        path.write_bytes(flipped)
        try:
            check_backbone(load_adapter(adapter), backbone_of())
        except CompacterError:
            pass
        except Exception as error:
            around = data[max(0, position - 12) : position + 12].decode()
            escaped[around] = f"{type(error).__name__}: {error}"
    assert escaped == {}


def test_renamed_tensors_are_refused_though_their_hash_is_right(adapter):
    tensors = some_tensors()
    tensors["rule.B"] = tensors.pop("rule.A")
    write_weights(adapter, safetensors.torch.save(tensors))
    assert_refused(adapter, "its tensors are not those that adapter.json describes")


def test_reshaped_tensors_are_refused_though_their_hash_is_right(adapter):
    tensors = some_tensors()
    tensors["rule.A"] = tensors["rule.A"].reshape(8, 8)
    write_weights(adapter, safetensors.torch.save(tensors))
    assert_refused(adapter, "its tensors are not those that adapter.json describes")


def test_a_pickle_under_the_weights_name_is_refused_and_not_executed(adapter, tmp_path):
    mark = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    data = pickle.dumps(Payload())
    pickle.loads(data).close()
    assert mark.exists()  # it would have worked
    mark.unlink()
    write_weights(adapter, data)
    assert_refused(adapter, "adapter.safetensors", "is no safetensors file")
    torch.save({"w": torch.zeros(1)}, adapter / "adapter.safetensors")
    write_weights(adapter, (adapter / "adapter.safetensors").read_bytes())
    assert_refused(adapter, "adapter.safetensors", "is no safetensors file")
    assert not mark.exists()


def test_another_backbone_is_refused_with_both_fingerprints(adapter):
    loaded = load_adapter(adapter)
    check_backbone(loaded, backbone_of())
    with pytest.raises(CompacterError) as caught:
        check_backbone(loaded, backbone_of(fingerprint="0123456789abcdef", preset="other/one"))
    for word in ("ffffffffffff", "0123456789ab", "some/preset", "other/one"):
        assert word in str(caught.value)
    assert "some/preset" in caught.value.hint


def test_another_vocabulary_is_refused_with_both_hashes(adapter):
    with pytest.raises(CompacterError) as caught:
        check_backbone(load_adapter(adapter), backbone_of(vocabulary="c" * 64))
    for word in ("vocabulary", "bbbbbbbbbbbb", "cccccccccccc"):
        assert word in str(caught.value)


# Saves that fail or never finish.


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if ".new-" in p.name)


@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_leaves_the_adapter_before_it(tmp_path, monkeypatch, at):
    before = save(tmp_path / "best", seed=1)
    calls, real = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CompacterError, match="No space left on device") as caught:
        save(tmp_path / "best", seed=2)
    assert str(tmp_path / "best") in str(caught.value)
    assert_equal(load_adapter(tmp_path / "best").tensors, before)
    assert [p.name for p in tmp_path.iterdir()] == ["best"]
    save(tmp_path / "best", seed=3)  # and it goes on once there is space again
    assert_equal(load_adapter(tmp_path / "best").tensors, some_tensors(3))


def test_a_folder_that_cannot_be_made_durable_still_holds_an_adapter(tmp_path, monkeypatch):
    save(tmp_path / "best", seed=1)
    calls, real = [], os.fsync

    def fail_on_third(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:  # weights, manifest, then the folder
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_on_third)
    with pytest.raises(CompacterError):
        save(tmp_path / "best", seed=2)
    assert load_adapter(tmp_path / "best").manifest["sha256"] in {
        hashlib.sha256(safetensors.torch.save(some_tensors(seed))).hexdigest() for seed in (1, 2)
    }
    assert leftovers(tmp_path) == []


def test_a_file_size_limit_of_the_system_leaves_the_adapter_before_it(tmp_path):
    before = save(tmp_path / "best", seed=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # a write that really falls short
    try:
        with pytest.raises(CompacterError, match="File too large"):
            save(tmp_path / "best", seed=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_equal(load_adapter(tmp_path / "best").tensors, before)
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_failed_second_rename_leaves_the_adapter_before_it(tmp_path, monkeypatch):
    before = save(tmp_path / "best", seed=1)
    real = Path.rename

    def refuse(self, target):
        if ".new-" in self.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CompacterError):
        save(tmp_path / "best", seed=2)
    assert_equal(load_adapter(tmp_path / "best").tensors, before)
    assert leftovers(tmp_path) == []
    monkeypatch.undo()
    save(tmp_path / "best", seed=3)
    assert_equal(load_adapter(tmp_path / "best").tensors, some_tensors(3))
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_place_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CompacterError, match="cannot write the adapter") as caught:
        save(tmp_path / "file" / "best")
    assert "--output" in caught.value.hint


def test_the_adapter_set_aside_is_found_when_the_new_one_never_came(adapter):
    adapter.rename(adapter.with_name("best.previous"))
    assert_equal(load_adapter(adapter).tensors, some_tensors())
    after = save(adapter, seed=5)
    assert_equal(load_adapter(adapter).tensors, after)


def test_the_new_adapter_wins_over_the_one_set_aside(adapter):
    shutil.copytree(adapter, adapter.with_name("best.previous"))
    after = save(adapter.with_name("other"), seed=6)
    shutil.rmtree(adapter)
    adapter.with_name("other").rename(adapter)
    assert_equal(load_adapter(adapter).tensors, after)


def test_leftovers_of_a_killed_save_do_not_stop_the_next(tmp_path):
    stale = tmp_path / f"best.new-{os.getpid()}"  # process numbers come back, in containers soon
    stale.mkdir()
    (stale / "adapter.safetensors").write_bytes(b"half")
    tensors = save(tmp_path / "best")
    assert_equal(load_adapter(tmp_path / "best").tensors, tensors)


KILLER = textwrap.dedent("""
    import json, os, random, shutil, signal, sys, time
    from pathlib import Path
    import torch
    from compacter_cli.adapters import adapter_file as checkpoint

    root, fsync = Path(sys.argv[1]), os.fsync
    BACKBONE = {"preset": "p", "fingerprint": "f", "vocabulary_sha256": "v"}
    BASE = {"task": "t", "method": {}, "backbone": BACKBONE, "recipe": {}, "tensors": {}}

    def save(directory, version):
        w = torch.full((300,), float(version))
        tensors = {"w": w, "v": -w[:6].reshape(2, 3).clone()}
        described = {name: {"shape": list(t.shape)} for name, t in tensors.items()}
        manifest = {**BASE, "format": checkpoint.FORMAT, "version": checkpoint.VERSION,
                    "tensors": described, "saved": version}
        checkpoint.save_adapter(directory, tensors, manifest)

    def saved(directory):
        found = checkpoint.load_adapter(directory)
        version = found.manifest["saved"]
        assert (found.tensors["w"] == version).all() and (found.tensors["v"] == -version).all()
        return version

    def child(work):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            except BaseException as error:
                print("child:", repr(error), file=sys.stderr)
                os._exit(1)
            os._exit(0)
        return pid

    def kill_at_line(directory, number, files):
        # SIGKILL before the numbered line that `save` runs in one of `files`.
        count = 0
        def trace(frame, event, _):
            nonlocal count
            if os.path.basename(frame.f_code.co_filename) in files:
                if event == "line":
                    count += 1
                    if count == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                return trace
            return None
        sys.settrace(trace)
        save(directory, 2)
        sys.settrace(None)

    def every_line(prepare, *files):
        os.fsync = lambda descriptor: None  # slow, and a kill loses nothing the system has
        number, found = 0, []
        while True:
            number += 1
            directory = root / f"line-{number}" / "best"
            prepare(directory)
            _, status = os.waitpid(child(lambda: kill_at_line(directory, number, files)), 0)
            found.append(saved(directory))
            save(directory, 3)
            assert saved(directory) == 3
            shutil.rmtree(directory.parent)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0
                return found

    def one_saved(directory):
        save(directory, 1)

    def one_set_aside(directory):
        save(directory, 1)
        directory.rename(directory.with_name("best.previous"))

    def both(directory):
        save(directory, 1)
        shutil.copytree(directory, directory.with_name("best.previous"))

    def random_kills(times):
        os.fsync = fsync
        found = []
        for attempt in range(times):
            directory = root / f"random-{attempt}" / "best"
            save(directory, 0)
            read, write = os.pipe()
            def loop():
                for version in range(1, 10**6):
                    save(directory, version)
                    os.write(write, f"{version}\\n".encode())
            pid = child(loop)
            time.sleep(random.uniform(0.01, 0.15))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(write)
            done = [int(line) for line in os.read(read, 10**6).split()]
            found.append((max(done, default=0), saved(directory)))
        return found

    print(json.dumps({
        "lines": {
            "one_saved": every_line(one_saved, "adapter_file.py", "files.py", "shutil.py"),
            "one_set_aside": every_line(one_set_aside, "adapter_file.py", "files.py"),
            "both": every_line(both, "adapter_file.py", "files.py"),
        },
        "random": random_kills(10),
    }))
""")


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    """What was loaded after SIGKILLs at every line of a save, and at random moments of a loop."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path_factory.mktemp("kills"))],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("state", ["one_saved", "one_set_aside", "both"])
def test_a_kill_at_any_line_of_a_save_leaves_an_adapter_that_loads(kills, state):
    loaded = kills["lines"][state]
    assert len(loaded) > 25  # lines were really traced
    assert set(loaded) == {1, 2}
    assert loaded == sorted(loaded)  # once the new one is found, it stays found


def test_kills_at_random_moments_never_lose_a_save_that_returned(kills):
    assert len(kills["random"]) == 10
    for returned, loaded in kills["random"]:
        assert loaded in (returned, returned + 1)


# The fingerprint.


@pytest.fixture(scope="module")
def tiny(keras):
    return load_backbone("random/tiny")


def weights_of(backbone):
    from compacter_cli.t5.placement import backbone_weights

    return backbone_weights(backbone.keras)


def test_the_fingerprint_is_a_sha256_of_names_shapes_and_values():
    values = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor([3.0])}
    weights = {name: SimpleNamespace(value=value) for name, value in values.items()}
    by_hand = hashlib.sha256(
        b"a [1]\n" + bytes.fromhex("00004040") + b"b [1, 2]\n" + bytes.fromhex("0000803f00000040")
    )
    assert fingerprint_of(weights) == by_hand.hexdigest()


def test_the_fingerprint_is_that_of_float32_in_either_precision(tiny):
    rounded = load_backbone("random/tiny", "bfloat16")
    assert {str(v.value.dtype) for v in weights_of(rounded).values()} == {"torch.bfloat16"}
    assert rounded.fingerprint == tiny.fingerprint
    assert len(tiny.fingerprint) == 64


def test_the_fingerprint_does_not_depend_on_the_order_of_weights(tiny):
    weights = weights_of(tiny)
    assert fingerprint_of(weights) == tiny.fingerprint
    assert fingerprint_of(dict(reversed(weights.items()))) == tiny.fingerprint


def test_the_fingerprint_changes_with_any_single_weight(tiny):
    weights = weights_of(tiny)
    seen = {tiny.fingerprint}
    for name in ("embedding", "decoder.1.feed_forward.output", "encoder.layer_norm"):
        changed = weights[name].value.detach().clone()
        changed.view(-1)[-1] += 1e-3
        seen.add(fingerprint_of({**weights, name: SimpleNamespace(value=changed)}))
    assert len(seen) == 4


def test_the_fingerprint_changes_when_two_weights_of_one_shape_are_exchanged(tiny):
    weights = weights_of(tiny)
    query, key = "encoder.0.self_attention.query", "encoder.0.self_attention.key"
    exchanged = {**weights, query: weights[key], key: weights[query]}
    assert fingerprint_of(exchanged) != tiny.fingerprint


# The manifest's own hash.


@pytest.mark.parametrize("key", ["task", "metrics", "recipe", "created_by"])
def test_a_manifest_that_says_something_else_than_was_written_is_damaged(adapter, key):
    path = adapter / "adapter.json"
    manifest = json.loads(path.read_text())
    manifest[key] = {"epoch": 99} if isinstance(manifest[key], dict) else "another"
    path.write_text(json.dumps(manifest))
    with pytest.raises(CompacterError, match="what it says is not what was written"):
        load_adapter(adapter)


def test_a_manifests_hash_is_of_its_content_whatever_its_layout(adapter):
    path = adapter / "adapter.json"
    manifest = json.loads(path.read_text())
    assert manifest["manifest_sha256"] == hashlib.sha256(
        json.dumps({k: v for k, v in sorted(manifest.items()) if k != "manifest_sha256"},
                   sort_keys=True).encode()
    ).hexdigest()  # fmt: skip
    path.write_text(json.dumps(dict(reversed(manifest.items()))))
    load_adapter(adapter)


def test_a_manifest_without_a_hash_of_its_own_still_loads(adapter):
    change_manifest(adapter, metrics={"epoch": 4})
    assert load_adapter(adapter).manifest["metrics"] == {"epoch": 4}


# Hostile adapters, whose hashes are all right.


def sign(directory, tensors, data=None, **described):
    """Other tensors under a manifest that vouches for them and describes them, or says it does."""
    write_weights(directory, safetensors.torch.save(tensors) if data is None else data)
    entries = {n: {"shape": list(t.shape), "dtype": "F32"} for n, t in tensors.items()}
    change_manifest(directory, tensors={**entries, **described})


def test_infinities_that_cancel_in_a_sum_are_refused(adapter):
    tensors = some_tensors()
    tensors["encoder.layer_norm"][:2] = torch.tensor([float("inf"), -float("inf")])
    sign(adapter, tensors)
    assert_refused(adapter, "holds NaN or infinity in encoder.layer_norm")


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000 + "]" * 5_000, '{"format":' * 5_000, '{"version": ' + "1" * 5_000 + "}",
     '{"task": "\\ud800"}', '{"task": "\\u0000"}'],
    ids=["nested", "tables", "integer", "surrogate", "NUL"],
)  # fmt: skip
def test_a_manifest_of_hostile_json_is_damaged(adapter, text):
    (adapter / "adapter.json").write_text(text)
    error = assert_refused(adapter, "adapter.json is damaged: ")
    assert len(str(error)) < 300


def test_a_manifest_of_a_million_tensors_is_not_read(adapter):
    entries = ",".join(f'"t{number}":{{"shape":[1]}}' for number in range(1_000_000))
    (adapter / "adapter.json").write_text(f'{{"tensors":{{{entries}}}}}')
    assert_refused(adapter, "adapter.json is damaged: it has", "are not read")


@pytest.mark.parametrize(
    "shape", [[-1], [2**41], [1] * 9, [2**40] * 9, [True], [1.0], ["1"], "4", [[4]], None]
)
def test_a_description_of_no_shape_is_damage(adapter, shape):
    sign(adapter, some_tensors(), **{"rule.A": {"shape": shape}})
    assert_refused(adapter, "adapter.json is damaged: tensors.rule.A.shape")


def header(text, payload=b""):
    data = text.encode()
    return len(data).to_bytes(8, "little") + data + payload


def entry(shape, start, end, dtype="F32"):
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": [start, end]})


LYING = {
    "a length beyond all": (2**63).to_bytes(8, "little") + b"{}",
    "a length beyond the file": (1000).to_bytes(8, "little") + b"{}",
    "offsets beyond the file": header(f'{{"w":{entry([1], 0, 4)}}}', b"12"),
    "offsets that overlap": header(f'{{"v":{entry([1], 0, 4)},"w":{entry([1], 0, 4)}}}', b"1234"),
    "offsets with a hole": header(f'{{"w":{entry([1], 4, 8)}}}', b"12345678"),
    "a product that overflows": header(f'{{"w":{entry([2**40, 2**40], 0, 4)}}}', b"1234"),
    "a product that does not fit": header(f'{{"w":{entry([2], 0, 4)}}}', b"1234"),
    "no elements, endless axes": header(f'{{"w":{entry([0, 2**63 - 1, 2**62], 0, 0)}}}'),
    "two of a name, one hidden": header(
        f'{{"w":{entry([1], 0, 4)},"w":{entry([1], 4, 8)}}}', b"12345678"
    ),
    "an unknown precision": header(f'{{"w":{entry([2], 0, 1, "F4")}}}', b"1"),
    "nesting without end": header('{"w":' + "[" * 5_000 + "]" * 5_000 + "}"),
    "a name that is no text": header('{"\\ud800":' + entry([1], 0, 4) + "}", b"1234"),
    "text after the tensors": header(f'{{"w":{entry([1], 0, 4)}}}', b"1234 and more"),
}


@pytest.mark.parametrize("data", LYING.values(), ids=LYING)
def test_a_header_that_lies_is_refused(adapter, data):
    sign(adapter, {"w": torch.zeros(1)}, data)
    error = assert_refused(adapter, "adapter.safetensors is no safetensors file")
    assert len(str(error)) < 400


def test_two_of_a_name_in_the_same_place_are_one(adapter):
    one = entry([1], 0, 4)
    sign(adapter, {"w": torch.zeros(1)}, header(f'{{"w":{one},"w":{one}}}', b"\0\0\x80?"))
    assert_equal(load_adapter(adapter).tensors, {"w": torch.ones(1)})


@pytest.mark.parametrize("name", ["adapter.json", "adapter.safetensors"])
def test_a_link_out_of_the_directory_is_not_followed(adapter, tmp_path, name):
    (adapter / name).rename(tmp_path / name)
    (adapter / name).symlink_to(tmp_path / name)
    assert_refused(adapter, name, f"it is a link to {tmp_path / name}, outside of its directory")


def test_a_directory_that_is_a_link_is_loaded(adapter, tmp_path):
    (tmp_path / "link").symlink_to(adapter)
    assert_equal(load_adapter(tmp_path / "link").tensors, some_tensors())


def test_what_a_manifest_says_reaches_no_terminal_and_is_cut(adapter):
    change_manifest(adapter, version="\x1b[2J" + "9" * 10_000, created_by="\x1b[2J" + "9" * 10_000)
    error = assert_refused(adapter, "format version \\x1b[2J999")
    assert len(str(error)) + len(error.hint) < 600
    assert "\x1b" not in str(error) + error.hint


def test_a_path_that_is_too_long_is_an_error_of_one_line():
    with pytest.raises(CompacterError):
        load_adapter("x" * 5_000)


def test_of_cards_only_an_edited_one_outlives_the_weights_it_tells_of(adapter):
    card = adapter / "README.md"
    for text, stays in ((signed("text"), False), ("mine", True), ("", True), ("x" * 1_000_001, 0)):
        card.write_text(text)
        save(adapter, seed=1)
        assert card.exists() == stays
        load_adapter(adapter)
