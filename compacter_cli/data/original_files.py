"""Original GLUE and SuperGLUE files, in a folder or in their zip, read by the TFDS parsers."""

import contextlib
import shutil
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from compacter_cli.data.row_checks import malformed_line, problem_of, wrong_label
from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.tfds_access import plain_row, tfds_builder
from compacter_cli.errors import CompacterError, MissingResourceError, user_path

LARGEST_MEMBER = 1 << 30  # bytes of one unpacked file; MNLI's, the largest, is a tenth of it
_MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8


def original_files(task, folder):
    """Path of every original file of a task below `folder`, by name.

    Raises:
        MissingResourceError: one of them is not there.
    """
    place = folder / task.original.benchmark / task.original.folder
    files = {name: place / name for name in task.original.needed}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        above = folder.name == task.original.benchmark and (folder / task.original.folder).is_dir()
        raise MissingResourceError(
            f"original files: {', '.join(missing)} not found",
            f"give the folder above, {folder.parent}"
            if above
            else f"the folder must hold {task.original.benchmark}/{task.original.folder}/"
            + " and ".join(files),
        )
    return files


def existing_archive(task, archive):
    """The path of `data.archive`.

    Raises:
        MissingResourceError: there is no such file, or the task was never zipped.
    """
    if task.original.archive is None:
        raise MissingResourceError(
            f"{task.name} was published as plain files, not as a zip",
            "give a folder (data.folder, --folder) holding "
            f"{task.original.benchmark}/{task.original.folder}/"
            + " and ".join(task.original.needed),
        )
    path = user_path(archive)
    if not path.is_file():
        raise MissingResourceError(
            f"original zip: there is no file {path}", f"give {task.original.archive} as published"
        )
    return path


@contextlib.contextmanager
def opened_folder(task, folder):
    """`(root, origin)` of original files in `folder`; `root` holds the task's folder."""
    files = original_files(task, folder)
    found = {path.name: sha256_of(path) for path in files.values()}
    origin = {"way": "folder", "path": str(folder), "sha256": found, **_published(task, found)}
    yield folder / task.original.benchmark, origin


@contextlib.contextmanager
def opened_archive(task, path):
    """`(root, origin)` of the original zip at `path`, unpacked while the context lasts."""
    found = {task.original.archive: sha256_of(path)}
    origin = {"way": "archive", "path": str(path), "sha256": found, **_published(task, found)}
    with TemporaryDirectory() as folder:
        extract(task, path, Path(folder))
        yield Path(folder), origin


def rows_of(task, opened):
    """`(rows by split, origin)` of files opened by one of the contexts above."""
    with opened as (root, origin):
        return parse(task, root, origin["path"]), origin


def published_hashes(task):
    """sha256 of the task's published files by name, as TFDS has them registered."""
    with tfds_builder(task) as builder:
        known = {info.filename: info.checksum for info in builder.url_infos.values()}
    names = (task.original.archive, *task.original.needed)
    if task.original.archive:  # both benchmarks have an RTE.zip, and older ones are registered
        known = {task.original.archive: builder.url_infos[builder.builder_config.data_url].checksum}
    return {name: known[name] for name in names if name in known}


def _published(task, found):
    """Whether files are those that were published; nothing where no hash is known for them."""
    wanted = {name: value for name, value in published_hashes(task).items() if name in found}
    return {"published": wanted.items() <= found.items()} if wanted else {}


def extract(task, path, folder):
    """Unpack the task's files from its original zip, and nothing else."""
    wanted = [f"{task.original.folder}/{name}" for name in task.original.needed]
    more = [f"{task.original.folder}/{name}" for name in task.original.unlabelled]
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if missing := [name for name in wanted if name not in sizes]:
                raise _wrong_zip(task, path, missing, sizes)
            for name in [*wanted, *(name for name in more if name in sizes)]:
                if sizes[name] > LARGEST_MEMBER:
                    raise CompacterError(f"{path}: {name} unpacks to {sizes[name]:,} bytes")
                archive.extract(name, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        kind = "damaged or locked zip" if zipfile.is_zipfile(path) else "not a zip file"
        raise CompacterError(
            f"{path}: {kind} ({error})", "download it again; a saved web page is no zip"
        ) from error


def _wrong_zip(task, path, missing, held):
    published = published_hashes(task).get(task.original.archive, "unknown")
    return CompacterError(
        f"{path}: expected {', '.join(missing)} in it; it holds "
        f"{', '.join(sorted(held)[:4]) or 'nothing'} (its sha256 is {sha256_of(path)}, the "
        f"published one {published})",
        f"give the {task.original.archive} of {task.original.benchmark}, with its "
        f"{task.original.folder}/ at the top",
    )


class LocalFiles:
    """Stands in for TFDS's download manager: what would be downloaded is in `root` already.

    Args:
        root: folder that holds the task's folder.
        task: the task.
        builder: its TFDS builder, which knows the file name behind every address.
        downloaded_size: bytes, recorded in the prepared directory.
    """

    def __init__(self, root, task, builder, downloaded_size=0):
        self._root, self._folder = Path(root), task.original.folder
        self._names = {url: info.filename for url, info in builder.url_infos.items()}
        self.downloaded_size = downloaded_size

    def download_and_extract(self, _url):
        return str(self._root)

    def download(self, urls):
        return {key: str(self._root / self._folder / self._names[url]) for key, url in urls.items()}


def parse(task, root, shown):
    """Rows by split, by the TFDS builder's own parser.

    Args:
        task: the task.
        root: folder that holds the task's folder.
        shown: where the files are from, for errors.

    Raises:
        CompacterError: a file is not what was published; file and line are named.
    """
    with tfds_builder(task) as builder, as_the_parser_expects(task, root) as root:
        manager = LocalFiles(root, task, builder)
        generators = {str(g.name): g.gen_kwargs for g in builder._split_generators(manager)}
        splits = {}
        for split, name in task.original.files.items():
            where = f"{shown}: {task.original.folder}/{name}"
            path = root / task.original.folder / name
            splits[split] = _parse_split(task, builder, split, generators[split], path, where)
        return splits


@contextlib.contextmanager
def as_the_parser_expects(task, root):
    """A folder like `root`, in which files begin with a byte-order mark where the original does.

    A parser that meets a mark takes it for part of the first column's name; MRPC's skips one.
    """
    wrong = [
        path
        for name in (*task.original.needed, *task.original.unlabelled)
        if (path := root / task.original.folder / name).is_file()
        and _begins_with_mark(path) != (name in task.original.marked)
    ]
    if not wrong:
        yield root
        return
    with TemporaryDirectory() as scratch:
        place = Path(scratch) / task.original.folder
        shutil.copytree(root / task.original.folder, place)
        for path in wrong:
            data = path.read_bytes()
            marked = data.startswith(_MARK)
            (place / path.name).write_bytes(data[len(_MARK) :] if marked else _MARK + data)
        yield Path(scratch)


def _begins_with_mark(path):
    with open(path, "rb") as file:
        return file.read(len(_MARK)) == _MARK


def _parse_split(task, builder, split, arguments, path, where):
    try:
        examples = [row for _, row in builder._generate_examples(**arguments)]
        features = builder.info.features
        rows = [plain_row(features.encode_example(row)) for row in examples]
    except Exception as error:  # the parsers raise many kinds, and so does the encoding
        stopped = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        beside = "".join(f" (it reads {name} too)" for name in task.original.helpers)
        problem = f"the parser stopped at {stopped}{beside}"
        line = malformed_line(path, task.original)
    else:
        problem = problem_of(task, split, rows)
        line = (malformed_line if problem else wrong_label)(path, task.original)
        if line and problem:
            line = f"{line} ({problem})"
    if line:
        raise CompacterError(
            f"{where}, {line}", "mend that line, or take the original file again; it is UTF-8"
        )
    if problem:
        raise CompacterError(f"{where}: {problem}", "take the original file again")
    return sorted(rows, key=task.number)
