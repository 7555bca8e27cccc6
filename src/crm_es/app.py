"""The composition root: settings become an engine, the engine an ASGI application.

One process of it serves; `crm-es serve` runs several, and the projector beside them.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from importlib.resources import files
from time import monotonic
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from crm_es.access.watching import watching
from crm_es.access.writer import AccessLog
from crm_es.api.http import GraphQLOverHTTP
from crm_es.api.log_files import log_file
from crm_es.api.rate import RateLimit
from crm_es.api.sockets import GraphQLOverWebSocket
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.context import MODELS, Engine
from crm_es.database.migrate import check
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError
from crm_es.eventstore.store import Store
from crm_es.exports.download import download
from crm_es.ledger import lag
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector import catalogue
from crm_es.projector.progress import Progress
from crm_es.reads import check as declarations
from crm_es.reads.driver import ReadConnections
from crm_es.schema import schema
from crm_es.workspaces.identity import Authenticator
from crm_es.workspaces.key_uses import KeyUses
from crm_es.workspaces.tokens import Verifier
from projections import READ_MODELS, members

CATCH_UP_SECONDS: Final = 1.0
PREFLIGHT_SECONDS: Final = 7_200


def from_environment() -> Starlette:
    """What an ASGI server runs, by name: `crm_es.app:from_environment`. Raises: ConfigurationError."""
    settings = Settings.from_environment()
    if settings.urls is None:
        raise ConfigurationError(
            "CRM_DATABASE_URL: expected here; `crm-es serve` starts an embedded database and sets it."
        )
    return make(settings, settings.urls)


def make(settings: Settings, urls: DatabaseUrls) -> Starlette:
    """The application over its own engine, opened when it starts and closed when it stops. Raises: ConfigurationError."""
    declarations.check(schema._schema)  # noqa: SLF001  # Strawberry has no public name for it
    check(urls.app)
    catalogue.require(urls.app, READ_MODELS)
    return serving(settings, partial(engine, settings, urls))


def serving(settings: Settings, opened: Callable[[], AbstractAsyncContextManager[Engine]]) -> Starlette:
    """The application over an engine that `opened()` gives for as long as it runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with opened() as running:
            app.state.http = GraphQLOverHTTP(schema, running)
            app.state.sockets = GraphQLOverWebSocket(schema, running)
            app.state.engine = running
            yield

    routes = [
        Route("/", partial(front, to_graphiql=settings.graphiql)),
        Route("/graphql", _Http()),
        WebSocketRoute("/graphql", _Sockets()),
        Route("/exports/{id}", download),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/log/{path:path}", log_file),
    ]
    if settings.graphiql:
        routes.append(Mount("/graphiql", StaticFiles(directory=str(files("crm_es.api") / "graphiql"))))
    return Starlette(routes=routes, lifespan=lifespan, middleware=_across_origins(settings))


@asynccontextmanager
async def engine(settings: Settings, urls: DatabaseUrls, *, follows: bool = True) -> AsyncIterator[Engine]:
    """Everything that serves requests, as the application role. `follows` the projector, for those who read what they wrote."""
    async with AsyncExitStack() as opened:
        keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file, settings.root_key))
        opened.callback(keys.close)
        store = await Store.open(urls.app, AGGREGATES, keys)
        opened.push_async_callback(store.close)
        connections = ReadConnections(
            urls.app, size=settings.pool_size, statement_timeout_ms=settings.statement_timeout_ms
        )
        opened.push_async_callback(connections.close)
        followed = Progress.following(urls.app, watched=members) if follows else nullcontext(Progress(urls.app))
        progress = await opened.enter_async_context(followed)
        uses = await opened.enter_async_context(KeyUses.recording(urls.app))
        access = await opened.enter_async_context(
            AccessLog.running(urls.app, mode=settings.access_log, patience=settings.statement_timeout_ms / 1_000)
        )
        mass_reads = await opened.enter_async_context(
            watching(store, connections, settings.mass_read, processes=settings.workers)
        )
        authenticator = Authenticator(
            connections=connections,
            verifier=Verifier.of(settings),
            pepper=keys.pepper(),
            bookmark=lambda: progress.touched,
            read_model=members.NAME,
            topics=members.TOPICS or (),
            used=uses.note,
        )
        yield Engine(
            settings=settings,
            store=store,
            keys=keys,
            connections=connections,
            progress=progress,
            authenticate=authenticator.authenticate,
            access=access,
            mass_reads=mass_reads,
            rate=RateLimit(monotonic) if settings.minute_limit_on else None,
        )


class _Http:
    """Finds the application's own endpoint, made when it started."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.http(scope, receive, send)


class _Sockets:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.sockets(scope, receive, send)


async def front(request: Request, *, to_graphiql: bool) -> Response:
    """A browser goes on to GraphiQL, where there is one; a program is told what there is."""
    if to_graphiql and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/graphql", headers={"Vary": "Accept"})
    doors = {
        "graphql": "/graphql",
        "health": "/healthz",
        "ready": "/readyz",
        "metrics": "/metrics",
        "log": "/log/checkpoint",
    }
    return JSONResponse(doors, headers={"Vary": "Accept"})


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 when every read model shows, within a second, all that was recorded at the time of asking."""
    progress: Progress = request.app.state.engine.progress
    lag = progress.lag()
    newest = max((progress.bookmarks[name] + behind for name, behind in lag.items()), default=0)
    ready = progress.current and await progress.wait(newest, MODELS, CATCH_UP_SECONDS)
    body = {"ready": ready, "hearsDatabase": progress.current, "lag": progress.lag(), "parked": sorted(progress.parked)}
    return JSONResponse(body, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    await lag.measure(request.app.state.engine.connections)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _across_origins(settings: Settings) -> list[Middleware]:
    """Pages of the origins named in CRM_ALLOWED_ORIGINS may call; no cookie is ever looked at, so none is allowed."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "crm-min-position", "crm-purpose"],
            expose_headers=["retry-after"],
            max_age=PREFLIGHT_SECONDS,
        )
    ]
