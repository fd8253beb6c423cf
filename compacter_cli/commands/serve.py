"""`compacter serve`: adapters on one backbone answer over HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    ThreadsOption,
    UseOption,
    WhichOption,
    adapters_option,
)
from compacter_cli.errors import Interrupted, UsageError, excerpt
from compacter_cli.serving.limits import NAME, TEXTS, Limits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from compacter_cli.adapters.restoring import Chosen

USUAL = Limits()
SLACK = 5  # seconds at the end, beyond those that a request may take


class Answering(TypedDict):
    """Where requests are accepted, and the names of the adapters that answer."""

    address: str
    adapters: list[str]


def command(
    adapter: Annotated[list[str] | None, adapters_option("")] = None,
    which: WhichOption = "best",
    set_: UseOption = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on; 0.0.0.0 is all of this machine.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, metavar="N", help="0 is any that is free."),
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File of a token that askers must know; COMPACTER_TOKEN may hold one instead.",
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            "--queue", min=TEXTS, metavar="N", help="Texts that may wait; more are refused."
        ),
    ] = USUAL.waiting,
    max_body: Annotated[
        int, typer.Option("--max-body", min=1000, metavar="BYTES", help="Bytes of a request.")
    ] = USUAL.body,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=0.1, metavar="SECONDS", help="Seconds that a request may take."
        ),
    ] = USUAL.answer_seconds,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", min=1, metavar="N", help="Examples computed at once."),
    ] = USUAL.batch,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Answer over HTTP with one or more adapters, which are loaded onto one backbone.

    POST /v1/predict asks an adapter by its name, the page at / tries one, /docs lists the rest.
    Requests that come together are computed together, under different adapters too. SIGTERM and
    Ctrl-C end it once what was accepted is answered.

    Example: compacter serve --adapter rte=RUN --adapter cb=OTHER_RUN
    """
    from compacter_cli.commands.asked import chosen_of, runs_of
    from compacter_cli.commands.console import err, load_frameworks, print_json, show_note
    from compacter_cli.serving.access import read_token
    from compacter_cli.serving.server import address_of, check_installed, is_local, listening_at
    from compacter_cli.t5.preset_places import check_preset

    check_installed()
    chosen = {
        name: chosen_of(run, which, set_ or []) for name, run in runs_of(None, adapter).items()
    }
    if too_long := [name for name in chosen if len(name) > NAME]:
        raise UsageError(
            f"--adapter {excerpt(too_long[0])}: expected a name of at most {NAME} characters"
        )
    token = read_token(token_file)
    check_preset(next(iter(chosen.values())).recipe.backbone.preset, offline)
    with listening_at(host, port) as listening:
        if token is None and not is_local(listening):
            show_note(f"{host} is open to other machines, and no token is asked for: --token-file")
        if not json_:
            err.say(loading_line(chosen))
        load_frameworks(threads=threads)

        def ready() -> None:
            address = address_of(listening)
            if json_:
                print_json(Answering(address=address, adapters=list(chosen)))
            err.say(ready_line(address, chosen))

        limits = Limits(
            batch=batch_size, waiting=queue, body=max_body, answer_seconds=timeout,
            bodies=max(USUAL.bodies, 4 * max_body),
        )  # fmt: skip
        with _ending_amid_a_call():
            serve(
                adapters=chosen,
                listening=listening,
                limits=limits,
                token=token,
                device=device,
                ready=ready,
            )


@contextmanager
def _ending_amid_a_call() -> Iterator[None]:
    """Where a signal comes out of what is inside while a call computes, end the process there."""
    from compacter_cli.commands.console import end_as_it_stands
    from compacter_cli.serving.calls import go_on

    try:
        yield
    except Interrupted as interrupt:
        if go_on():
            end_as_it_stands(interrupt)
        raise


def loading_line(names: Iterable[str]) -> str:
    """What is said before the adapters are loaded, which takes some seconds."""
    return f"loading {', '.join(names)} ..."


def ready_line(address: str, names: Iterable[str]) -> str:
    """What is said once requests are accepted."""
    return f"answering at {address} as {', '.join(names)}; Ctrl-C ends it"


def serve(
    *,
    adapters: Mapping[str, Chosen],
    listening: socket.socket,
    limits: Limits = USUAL,
    token: str | None = None,
    device: str | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer over HTTP until a signal comes.

    Args:
        adapters: directory and recipe of each, by the name that it is asked by.
        listening: socket, as `serving.server.listening_at` makes it.
        limits: of what is taken on at once.
        token: that askers must know, if any.
        device: "cpu" or "cuda"; a GPU where there is one.
        ready: called once requests are accepted.

    Raises:
        CompacterError: an adapter is damaged, or not of the backbone.
        UsageError: one cannot be asked beside others.
        Interrupted: a signal came, and what was accepted is answered; or a second one, at once.
    """
    from compacter_cli.serving.app import application
    from compacter_cli.serving.asgi import LINGER
    from compacter_cli.serving.batching import Batcher
    from compacter_cli.serving.metrics import Meters
    from compacter_cli.serving.served import Served
    from compacter_cli.serving.server import is_local, run
    from compacter_cli.training.signals import deferred_signals

    served, meters = Served(adapters, device), Meters()
    batcher = Batcher(served.answer, limits, meters.batch)
    meters.follow(lambda: batcher.waiting)
    app = application(served, batcher, meters, limits, token, is_local(listening))
    patience = limits.answer_seconds + limits.body_seconds + LINGER + SLACK
    with deferred_signals() as stop:
        whole = run(app, listening, stop, ready, patience, limits)
    raise stop.interrupted(
        "stopped; what was accepted is answered" if whole else "stopped at once, by a second signal"
    )
