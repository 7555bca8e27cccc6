"""`/graphql` over a WebSocket (graphql-transport-ws): signed in by `connection_init`, closed with 4403 at expiry.

Closing codes are the protocol's: 4401 for who did not sign in, 4403 for whose token we do not take. 1013 means to come again.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET, UnsetType

from crm_es.api.execution import CrmSchema
from crm_es.api.requests import RefusedError, spoken_purpose
from crm_es.context import Context, Engine
from crm_es.errors import UnauthenticatedError, UnavailableError
from crm_es.workspaces.identity import Identity

OPERATIONS: Final = 100
INIT_SECONDS: Final = 10
FORBIDDEN: Final = 4403
TRY_AGAIN: Final = 1013


class Connection:
    """One socket: who opened it, once that is known. Each of its operations gets a context of its own."""

    def __init__(self, schema: CrmSchema, engine: Engine, socket: WebSocket) -> None:
        self._schema = schema
        self._engine = engine
        self._client = socket.headers.get("user-agent")
        self._host = socket.client.host if socket.client else None
        self.connection_params: Mapping[str, Any] = {}
        self.identity: Identity | None = None
        self.purpose: str | None = None
        self.seconds_left = 0.0

    async def sign_in(self) -> None:
        """Raises: ConnectionRejectionError."""
        given = next((value for name, value in self.connection_params.items() if name.lower() == "authorization"), None)
        scheme, _, token = given.partition(" ") if isinstance(given, str) else ("", "", "")
        try:
            self.purpose = spoken_purpose(self.connection_params.get("purpose"))
            context = await self._engine.begin(token if scheme.lower() == "bearer" else scheme, client=None, host=None)
        except (UnauthenticatedError, RefusedError) as exc:
            raise ConnectionRejectionError from exc
        self.identity, self.seconds_left = context.identity, context.seconds_left()

    def kind_of(self, query: str, operation_name: str | None) -> OperationType | None:
        return self._schema.kind_of(query, operation_name)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """What the protocol's handler takes for the schema."""
        if self.identity is None:
            raise ConnectionRejectionError
        context: Context = self._engine.resume(
            self.identity, client=self._client, host=self._host, purpose=self.purpose
        )
        given = {**kwargs, "context_value": context, "seconds": self._engine.settings.query_seconds}
        return await self._schema.stream(*args, **given)


class Handler(BaseGraphQLTransportWSHandler[Connection, None]):
    """Strawberry's, with an end to the session and a context for each operation."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schema = self.context  # type: ignore[assignment]  # it asks it for `stream` alone
        self._expiry: asyncio.Task[None] | None = None
        self._mutations: set[asyncio.Task[Any]] = self.view.mutations  # type: ignore[attr-defined]  # it is ours

    async def run_operation(self, operation: Operation[Connection, None]) -> None:
        task = asyncio.current_task()
        if task and self.context.kind_of(operation.query, operation.operation_name) is OperationType.MUTATION:
            self._mutations.add(task)
            task.add_done_callback(self._mutations.discard)
        await super().run_operation(operation)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        try:
            await super().handle_connection_init(message)
        except UnavailableError:  # who signs in is looked up, and the database is away
            await self.websocket.close(code=TRY_AGAIN, reason="Try again later")
            return
        if self.connection_acknowledged and self._expiry is None and self.context.identity is not None:
            self._expiry = asyncio.create_task(self._expire(self.context.seconds_left))

    async def shutdown(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            with suppress(asyncio.CancelledError):
                await self._expiry
        await super().shutdown()

    async def _expire(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.websocket.close(code=FORBIDDEN, reason="The token expired")


class GraphQLOverWebSocket(GraphQL[Connection, None]):
    """The ASGI application behind `/graphql` for WebSockets alone; HTTP is in `http.py`."""

    graphql_transport_ws_handler_class = Handler

    def __init__(self, schema: CrmSchema, engine: Engine) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=max(INIT_SECONDS, engine.settings.query_seconds)),
            max_subscriptions_per_connection=OPERATIONS,
            allowed_origins=engine.settings.allowed_origins,
        )
        self.engine = engine
        self.mutations: set[asyncio.Task[Any]] = set()

    async def finished(self, seconds: float | None) -> None:
        """Once the mutations that are running now are answered, or the time is over."""
        if self.mutations:
            await asyncio.wait(set(self.mutations), timeout=seconds)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Connection:  # noqa: ARG002
        if not isinstance(request, WebSocket) or not isinstance(self.schema, CrmSchema):
            raise TypeError("only WebSockets of our own schema come here")
        return Connection(self.schema, self.engine, request)

    async def on_ws_connect(self, context: Connection) -> UnsetType | dict[str, object] | None:
        await context.sign_in()
        nothing: UnsetType = UNSET  # the acknowledgement has no payload, not a null one
        return nothing
