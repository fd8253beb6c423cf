"""The token that a server asks for: from a file or the environment, never a command line's."""

import os
from pathlib import Path

from compacter_cli.errors import UsageError
from compacter_cli.files import read_file

VARIABLE = "COMPACTER_TOKEN"
_BYTES = 4096


def read_token(file: Path | None) -> str | None:
    """The token in a file, else in `COMPACTER_TOKEN`; `None` where there is neither.

    Raises:
        UsageError: the file cannot be read, or what is there is no token.
    """
    if file is None:
        found, where = os.environ.get(VARIABLE), VARIABLE
        if found is None:
            return None
    else:
        where = f"--token-file {file}"
        try:
            found = read_file(file, _BYTES, Path("/")).decode()
        except (OSError, ValueError) as error:
            raise UsageError(f"{where}: {getattr(error, 'strerror', None) or error}") from error
    token = found.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{where}: expected a token of visible ASCII characters on one line",
            "such as that of: openssl rand -hex 32",
        )
    return token
