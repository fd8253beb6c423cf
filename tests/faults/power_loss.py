"""A loss of power at any moment of a save: every write, sync and rename is recorded and replayed.

`Recorder` watches what a save does below a folder. `states_after` gives, for every number of its
operations, the trees that a disk may then hold: what was synced is there; of the rest any beginning
is, in the order of the operations; and data that no sync waited for are whole, missing, or garbled.
A file's own sync makes its data durable, its directory's sync its name.
"""

import builtins
import io
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GARBLED = b"\x00"  # what a block that was never written may read as


@dataclass
class Recorder:
    """The operations of a save below `root`, in their order: (kind, path, more)."""

    root: Path
    operations: list = field(default_factory=list)

    def note(self, kind, path, more=None):
        path = os.path.abspath(os.fspath(path))
        if Path(path).is_relative_to(self.root):
            self.operations.append((kind, os.path.relpath(path, self.root), more))

    def relative(self, path):
        return os.path.relpath(os.path.abspath(os.fspath(path)), self.root)

    @contextmanager
    def watching(self, monkeypatch):
        """Record everything that happens inside."""
        real = {
            name: getattr(os, name)
            for name in ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
        }
        real_open, real_rmtree, opened = builtins.open, shutil.rmtree, {}

        def open_file(path, mode="r", *args, **more):
            file = real_open(path, mode, *args, **more)
            if isinstance(path, int) or not set(mode) & set("wxa"):
                return file
            opened[file.fileno()] = path
            if not set(mode) & {"a"}:
                self.note("create", path)
            return Written(file, lambda data: self.note("write", path, data))

        def open_descriptor(path, flags, *args, **more):
            descriptor = real["open"](path, flags, *args, **more)
            opened[descriptor] = path
            return descriptor

        def fsync(descriptor):
            real["fsync"](descriptor)
            self.note("sync", opened[descriptor])

        def move(name):
            def moved(source, target, **more):
                real[name](source, target, **more)
                self.note("rename", source, self.relative(target))

            return moved

        def simple(name, kind):
            def done(path, *args, **more):
                real[name](path, *args, **more)
                if not more.get("dir_fd"):
                    self.note(kind, path)

            return done

        def rmtree(path, *args, **more):
            there = os.path.isdir(path)
            real_rmtree(path, *args, **more)
            if there:
                self.note("rmtree", path)

        with monkeypatch.context() as patch:
            patch.setattr(builtins, "open", open_file)
            patch.setattr(io, "open", open_file)  # pathlib's
            patch.setattr(shutil, "rmtree", rmtree)
            patch.setattr(os, "open", open_descriptor)
            patch.setattr(os, "fsync", fsync)
            patch.setattr(os, "replace", move("replace"))
            patch.setattr(os, "rename", move("rename"))
            patch.setattr(os, "mkdir", simple("mkdir", "mkdir"))
            patch.setattr(os, "unlink", simple("unlink", "unlink"))
            yield self


class Written:
    """A file that tells what is written to it, once it is flushed or closed."""

    def __init__(self, file, tell):
        self._file, self._tell, self._data = file, tell, b""

    def write(self, data):
        self._data += data.encode() if isinstance(data, str) else bytes(data)
        return self._file.write(data)

    def flush(self):
        self._file.flush()
        if self._data:
            self._tell(self._data)
            self._data = b""

    def close(self):
        self.flush()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def applied(tree, kind, path, more):
    """`tree` (bytes by path, `None` for a folder) after one operation."""
    tree = dict(tree)
    below = [name for name in tree if name == path or name.startswith(f"{path}/")]
    if kind == "mkdir":
        tree[path] = None
    elif kind == "create":
        tree[path] = b""
    elif kind == "write":
        if path in tree:  # data of a file whose name was lost are lost with it
            tree[path] += more
    elif kind in ("unlink", "rmtree"):
        for name in below:
            del tree[name]
    elif kind == "rename":
        for name in [name for name in tree if name == more or name.startswith(f"{more}/")]:
            del tree[name]
        for name in below:
            tree[more + name[len(path) :]] = tree.pop(name)
    return tree


def states_after(before, operations):
    """Every tree that a disk may hold after a loss of power within `operations`, a set a prefix."""
    for end in range(len(operations) + 1):
        yield end, _states(before, operations[:end])


def _states(before, done):
    durable, kept = _durable(done)
    # Of what is not durable any beginning may have come to the disk; all that is durable has.
    loose = [index for index in range(len(done)) if index not in durable]
    found = []
    for stop in range(len(loose) + 1):
        chosen = sorted({*durable, *loose[:stop]})
        for data in ("whole", "missing", "garbled"):
            tree = before
            for index in chosen:
                kind, path, more = done[index]
                if kind == "write" and index not in kept and data != "whole":
                    more = b"" if data == "missing" else GARBLED * len(more)
                tree = applied(tree, kind, path, more)
            if tree not in found:
                found.append(tree)
    return found


def _durable(done):
    """`(indices of operations that are on the disk, those of writes whose data are)`."""
    durable, kept = set(), set()
    place = {}  # where an earlier operation's path is now, after renames
    for index, (kind, path, more) in enumerate(done):
        if kind == "rename":
            for earlier, now in place.items():
                if now == path or now.startswith(f"{path}/"):
                    place[earlier] = more + now[len(path) :]
        place[index] = more if kind == "rename" else path
        if kind != "sync":
            continue
        inside = "" if path == "." else path
        for earlier in range(index):
            what, where = done[earlier][0], place[earlier]
            if what == "write" and where == path:
                durable.add(earlier)
                kept.add(earlier)
            elif what not in ("sync", "write") and os.path.dirname(where) == inside:
                durable.add(earlier)  # a name in the directory
    return durable, kept


def tree_of(root):
    """The tree below a folder."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(Path(root).rglob("*"))
    }


def laid_out(tree, root):
    """Write a tree below a new folder; a file whose folder is not there is lost with it."""
    root.mkdir()
    for name, data in sorted(tree.items()):
        path = root / name
        if not path.parent.is_dir():
            continue
        path.mkdir() if data is None else path.write_bytes(data)
    return root
