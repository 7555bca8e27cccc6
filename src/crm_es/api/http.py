"""`/graphql` over HTTP: POST, GET for queries, an event stream for subscriptions, GraphiQL for a browser that asks for a page.

Only a bearer header signs in, never a cookie, and a browser sends that header across origins after a preflight alone:
so no other site can make a browser ask anything here, by GET or POST.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import msgspec
from graphql import GraphQLError
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.graphql import OperationType

from crm_es.api import requests
from crm_es.api.execution import CrmSchema, took_too_long
from crm_es.api.failures import code_of, formatted, masked
from crm_es.api.requests import EVENT_STREAM, PLAIN_JSON, RESPONSE_JSON, GraphQLRequest, RefusedError
from crm_es.context import Context, Engine
from crm_es.errors import CrmError, UnauthenticatedError

HEARTBEAT_SECONDS: Final = 12.0
_STATUS: Final = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "RATE_LIMITED": 429,
    "NOT_YET_PROJECTED": 503,
    "TIMEOUT": 503,
    "INTERNAL": 500,
}
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECONDS: Final = Histogram("crm_graphql_seconds", "Time to answer, by kind of operation", ["kind"])
_REFUSED: Final = Counter("crm_graphql_refused", "Requests refused before they ran, by code", ["code"])
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class GraphQLOverHTTP:
    """The ASGI application behind `/graphql` for everything but WebSockets. `closing` ends event streams: the process stops."""

    schema: CrmSchema
    engine: Engine
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self.answer(request)
        except CrmError as error:
            response = refused(request, error)
        except ClientDisconnect:  # it went before it had sent its request: nobody is left to answer
            return
        except Exception as error:  # noqa: BLE001  # the last door before a client: whatever it is, it is masked
            response = failed(error)
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        if request.method not in {"GET", "POST"}:
            raise RefusedError(405, "Use POST, or GET for queries.", Allow="GET, POST")
        if (
            self.engine.settings.graphiql
            and request.method == "GET"
            and "query" not in request.query_params
            and "text/html" in request.headers.get("accept", "")
        ):
            return _page()
        media, stream = requests.accepted(request)
        if media is None and not stream:
            raise RefusedError(406, f"Answers are {RESPONSE_JSON}, {PLAIN_JSON} or, for subscriptions, {EVENT_STREAM}.")
        context = await self.context(request)
        asked = requests.from_get(request) if request.method == "GET" else await requests.from_post(request)
        context.purpose = asked.purpose
        if (position := requests.min_position(request)) is not None:
            await context.wait_for(position)
        kind = self.schema.kind_of(asked.query, asked.operation_name)
        if request.method == "GET" and kind is OperationType.MUTATION:
            raise RefusedError(405, "A mutation is sent by POST.", Allow="POST")
        if stream and (media is None or kind is OperationType.SUBSCRIPTION):
            return await self.stream(asked, context)
        with _SECONDS.labels("none" if kind is None else kind.value).time():
            return _json(await self.run(asked, context, kind), media or PLAIN_JSON)

    async def context(self, request: Request) -> Context:
        """Raises: UnauthenticatedError."""
        given = request.headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("Send a token: Authorization: Bearer <token>.")
        host = request.client.host if request.client else None
        return await self.engine.begin(token.strip(), client=request.headers.get("user-agent"), host=host)

    async def run(self, asked: GraphQLRequest, context: Context, kind: OperationType | None) -> ExecutionResult:
        """Queries have an end; a mutation is bounded by the store, and never left in doubt by us. Raises: ProtocolError."""
        seconds = None if kind is OperationType.MUTATION else self.engine.settings.query_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self.schema.execute(
                    asked.query,
                    variable_values=asked.variables,
                    operation_name=asked.operation_name,
                    context_value=context,
                    allowed_operation_types=(OperationType.QUERY, OperationType.MUTATION),
                )
        except TimeoutError as exc:
            if seconds is None:
                raise
            raise took_too_long(seconds) from exc

    async def stream(self, asked: GraphQLRequest, context: Context) -> Response:
        """Distinct connections mode of the GraphQL-over-SSE protocol."""
        results = await self.schema.stream(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            context_value=context,
            seconds=self.engine.settings.query_seconds,
        )
        return StreamingResponse(
            _events(results, context, self.closing),
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def _events(
    results: AsyncGenerator[ExecutionResult, None], context: Context, closing: asyncio.Event
) -> AsyncIterator[bytes]:
    """Results as they come, a comment now and then so that proxies keep the line.

    When the token ends so does the stream, and says why. When the process stops it breaks off: clients then come again.
    """
    following, stop = asyncio.ensure_future(anext(results)), asyncio.ensure_future(closing.wait())
    try:
        while (left := context.seconds_left()) > 0:
            wait = min(HEARTBEAT_SECONDS, left)
            await asyncio.wait({following, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            if not following.done():
                yield b":\n\n"
                continue
            try:
                result = following.result()
            except StopAsyncIteration:
                break
            yield _event(body_of(result))
            following = asyncio.ensure_future(anext(results))
        else:
            yield _event({"errors": [formatted(UnauthenticatedError("The token has expired.", rule="token.expired"))]})
        yield b"event: complete\ndata:\n\n"
    finally:
        for waiting in (following, stop):
            waiting.cancel()
        await asyncio.gather(following, stop, return_exceptions=True)
        await results.aclose()


def _event(body: Mapping[str, Any]) -> bytes:
    return b"event: next\ndata: " + _encode(body) + b"\n\n"


def body_of(result: ExecutionResult) -> dict[str, Any]:
    """The response map: no `data` where nothing ran."""
    body: dict[str, Any] = {} if _never_ran(result) else {"data": result.data}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if result.extensions and not _never_ran(result):
        body["extensions"] = result.extensions
    return body


def _never_ran(result: ExecutionResult) -> bool:
    """Refused before execution: by parser, limits, validation, or variables that do not fit."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and all(error.path is None for error in result.errors or ())


def _json(result: ExecutionResult, media: str) -> Response:
    code = str((result.errors[0].extensions or {}).get("code")) if result.errors and _never_ran(result) else None
    status = 200 if code is None else _STATUS.get(code, 400 if media == RESPONSE_JSON else 200)
    response = _answer(body_of(result), status, media)
    if code is not None:
        _REFUSED.labels(code).inc()
    return response


def _answer(body: Mapping[str, Any], status: int, media: str) -> Response:
    response = Response(_encode(body), status, media_type=f"{media}; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept, Authorization"
    if (advice := _retry_after(body)) is not None:
        response.headers["Retry-After"] = str(advice)
    return response


def _retry_after(body: Mapping[str, Any]) -> int | None:
    """The longest wait that any error asks for."""
    advised = [error.get("extensions", {}).get("retryAfter") for error in body.get("errors", ())]
    return max((seconds for seconds in advised if seconds is not None), default=None)


def failed(error: Exception) -> Response:
    """Nothing a client did: masked, and logged with the id he is told."""
    return _answer({"errors": [masked(GraphQLError(str(error), original_error=error)).formatted]}, 500, PLAIN_JSON)


def refused(request: Request, error: CrmError) -> Response:
    """A request that never became an operation."""
    code = code_of(error)
    if code == "INTERNAL":
        return failed(error)
    media, _ = requests.accepted(request)
    status = error.status if isinstance(error, RefusedError) else _STATUS.get(code, 400)
    response = _answer({"errors": [formatted(error)]}, status, media or PLAIN_JSON)
    _REFUSED.labels(code).inc()
    if isinstance(error, RefusedError):
        response.headers.update(error.headers)
    if status == _STATUS["UNAUTHENTICATED"]:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _page() -> Response:
    page = resources.files("crm_es.api").joinpath("graphiql", "index.html").read_text("utf-8")
    return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY, "Referrer-Policy": "no-referrer"})
