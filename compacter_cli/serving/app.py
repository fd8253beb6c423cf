"""The application: what is answered at which path."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import compacter_cli
from compacter_cli.errors import UsageError, excerpt, nearest_or_all
from compacter_cli.serving.asgi import Bearer, Bodies, Local
from compacter_cli.serving.batching import BusyError, LateError, StoppedError
from compacter_cli.serving.messages import (
    Adapters,
    Answer,
    Answers,
    Asked,
    Health,
    Refusal,
    RowsAsked,
    TextsAsked,
)
from compacter_cli.serving.page import api_page, policy, try_page
from compacter_cli.serving.served import check_texts

if TYPE_CHECKING:
    from compacter_cli.serving.asgi import App
    from compacter_cli.serving.batching import Batcher
    from compacter_cli.serving.limits import Limits
    from compacter_cli.serving.metrics import Meters
    from compacter_cli.serving.served import Served

DESCRIPTION = (
    "Adapters on one T5, each asked by its name; what comes together is computed together."
)
REFUSALS = {
    400: "The body cannot be read.",
    401: "The token is missing, or is another.",
    404: "There is no such adapter.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    421: "The Host that is asked for is not this machine's own.",
    422: "What was asked is not as described.",
    429: "Too many texts are waiting; Retry-After says when to try again.",
    500: "The model failed.",
    503: "The answer took too long, too much is being asked at once, or nothing is answered.",
}


class RefusedError(Exception):
    """What was asked is not answered."""

    def __init__(
        self, status: int, detail: str, hint: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint = status, detail, hint
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}


def application(
    served: Served,
    batcher: Batcher,
    meters: Meters,
    limits: Limits,
    token: str | None,
    local: bool = False,
) -> App:
    """The ASGI application: the API and the pages, behind what bounds and guards them.

    Args:
        served: the adapters.
        batcher: answers texts by them; it runs while the application does.
        meters: counts.
        limits: of what is read.
        token: that askers must know, if any.
        local: it is reached from this machine alone.
    """
    fastapi = import_module("fastapi")
    app = fastapi.FastAPI(
        title="compacter",
        version=compacter_cli.__version__,
        description=DESCRIPTION,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lambda _: batcher.running(),
        separate_input_output_schemas=False,
    )
    _say_refusals_alike(app)
    local = local and token is None
    _add_api(app, served, batcher, token is not None, local)
    _add_health(app, batcher, meters, local)
    _add_pages(app)
    guarded: App = Bodies(app, limits)
    if token is not None:
        guarded = Bearer(guarded, token)
    if local:
        guarded = Local(guarded)
    return meters.around(guarded)


def _add_api(app: Any, served: Served, batcher: Batcher, guarded: bool, local: bool) -> None:
    fastapi, security = import_module("fastapi"), import_module("fastapi.security")
    # Said in the description alone: `Bearer` sees to it before the body is read.
    needed = [fastapi.Security(security.HTTPBearer(auto_error=False))] if guarded else []
    router = fastapi.APIRouter(prefix="/v1", dependencies=needed)
    refused = _refusals(*[401] * guarded, 408, 413, *[421] * local)

    @router.get("/adapters", summary="The adapters that answer.", responses=refused)
    async def adapters() -> Adapters:
        return Adapters(adapters=served.shown())

    asked = {**refused, **_refusals(400, 404, 422, 429, 500, 503)}

    @router.post("/predict", summary="Answers to texts, or to rows of fields.", responses=asked)
    async def predict(question: Asked) -> Answers:
        texts = _texts_of(served, question)
        found = await _answers(batcher, question.adapter, texts)
        answers = [Answer(prediction=text, probabilities=shares) for text, shares in found]
        return Answers(adapter=question.adapter, answers=answers)

    app.include_router(router)


def _texts_of(served: Served, question: TextsAsked | RowsAsked) -> list[str]:
    """The source texts of a question."""
    if question.adapter not in served.names:
        hint = nearest_or_all(question.adapter, served.names)
        raise RefusedError(404, f'there is no adapter "{excerpt(question.adapter)}"', hint)
    try:
        if isinstance(question, RowsAsked):
            return served.sources(question.adapter, question.rows)
        check_texts(question.texts)
    except UsageError as error:
        raise RefusedError(422, str(error), error.hint) from error
    return question.texts


async def _answers(batcher: Batcher, adapter: str, texts: list[str]) -> Any:
    try:
        return await batcher.ask(adapter, texts)
    except BusyError as error:
        raise RefusedError(429, str(error), retry_after=error.seconds) from error
    except LateError as error:
        raise RefusedError(503, str(error), retry_after=1) from error
    except StoppedError as error:
        raise RefusedError(503, str(error)) from error


def _add_health(app: Any, batcher: Batcher, meters: Meters, local: bool) -> None:
    responses = import_module("fastapi.responses")

    @app.get(
        "/healthz",
        summary="Whether answers can be had.",
        response_model=Health,
        responses={
            **_refusals(408, 413, *[421] * local),
            503: {"model": Health | Refusal, "description": "They cannot."},
        },
    )
    async def health() -> Any:
        if batcher.alive:
            return Health(status="ok")
        return responses.JSONResponse({"status": "not answering"}, 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Any:
        return responses.Response(meters.text(), media_type=meters.media_type)


def _add_pages(app: Any) -> None:
    responses = import_module("fastapi.responses")

    def shown(page: str) -> Any:
        headers = {
            "content-security-policy": policy(page),
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return responses.HTMLResponse(page, headers=headers)

    @app.get("/", include_in_schema=False)
    async def try_it() -> Any:
        return shown(try_page())

    @app.get("/docs", include_in_schema=False)
    async def described() -> Any:
        return shown(api_page(app.openapi()))


def _refusals(*statuses: int) -> dict[int, dict[str, Any]]:
    """Descriptions of refusals, as FastAPI takes them."""
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in statuses}


def _say_refusals_alike(app: Any) -> None:
    """Let whatever is refused, by whom ever, be a `Refusal`."""
    responses, exceptions = import_module("fastapi.responses"), import_module("fastapi.exceptions")
    starlette = import_module("starlette.exceptions")

    def said(status: int, detail: str, hint: str | None = None, headers: Any = None) -> Any:
        return responses.JSONResponse({"detail": detail, "hint": hint}, status, headers)

    async def refused(_request: Any, error: RefusedError) -> Any:
        return said(error.status, error.detail, error.hint, error.headers)

    async def unfit(request: Any, error: Any) -> Any:
        first, sent_as = error.errors()[0], request.headers.get("content-type", "")
        if first["loc"][0] == "body" and "json" not in sent_as:
            wanted = "expected the header content-type: application/json"
            return said(422, f"{wanted}. Received: {excerpt(sent_as) or 'none'}", "add the header")
        key = excerpt(".".join(str(part) for part in first["loc"]))
        return said(422, f"{key}: {first['msg']}", "how to ask is at /docs")

    async def unknown(_request: Any, error: Any) -> Any:
        return said(error.status_code, error.detail, None, error.headers)

    async def failed(_request: Any, _error: Exception) -> Any:
        return said(500, "the model failed; the server's output says why")

    app.exception_handler(RefusedError)(refused)
    app.exception_handler(exceptions.RequestValidationError)(unfit)
    app.exception_handler(starlette.HTTPException)(unknown)
    app.exception_handler(Exception)(failed)
