"""How much a server takes on at once, so that its memory and its waiting are bounded."""

from dataclasses import dataclass

TEXTS = 256  # of one request


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
    """

    batch: int = 64
    waiting: int = 1024
    gather: float = 0.003
    answer_seconds: float = 30.0
    body: int = 1_000_000
    bodies: int = 64_000_000
    body_seconds: float = 10.0
