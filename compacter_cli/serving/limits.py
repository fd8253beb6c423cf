"""How much a server takes on at once, so that its memory and its waiting are bounded."""

from dataclasses import dataclass

TEXTS = 256  # of one request
CHARACTERS = 100_000  # of one text: a model reads far fewer, and cuts the rest
ITEMS = 1000  # of a list in a row
FIELDS = 64  # of a row, or of a question
NAME = 200  # characters of an adapter's name


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        batch: texts that are computed at once.
        waiting: texts that may wait to be computed.
        gather: seconds that a text waits for others to be computed with.
        answer_seconds: after which a request is given up.
        body: bytes of one request's body.
        bodies: bytes of the bodies of all requests that are being answered.
        body_seconds: in which a body must have come.
        head_seconds: in which a connection must have sent a request's head.
        connections: open at once, of the 1,024 files that a process usually may; those that
            come beyond are closed.
    """

    batch: int = 64
    waiting: int = 1024
    gather: float = 0.003
    answer_seconds: float = 30.0
    body: int = 1_000_000
    bodies: int = 64_000_000
    body_seconds: float = 10.0
    head_seconds: float = 10.0
    connections: int = 800
