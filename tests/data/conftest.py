"""A file of rows or text, as tests of its readers write one."""

import pytest


@pytest.fixture
def file(tmp_path):
    """Writes a file of text or bytes."""

    def file(content, name="rows.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file
