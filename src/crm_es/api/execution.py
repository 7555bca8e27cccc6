"""The schema as we run it: every operation, over whichever transport, passes the gate (parse, limits, validation, cost, rate)
and leaves with its errors coded and everything unexpected masked.

A document that passed once is remembered, so that a known text pays for its cost with these variables and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, validate
from graphql.utilities import get_operation_ast
from strawberry import Schema
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext, ExecutionResult, PreExecutionError
from strawberry.types.graphql import OperationType

from crm_es.api import accounting, limits
from crm_es.api.cost import cost_of
from crm_es.api.failures import ProtocolError, shown
from crm_es.api.forms import plan_inputs
from crm_es.api.scalars import SCALARS
from crm_es.config import AccessMode
from crm_es.context import Context
from crm_es.reads.execute import CompiledReads
from crm_es.reads.extension import CompiledQueries
from crm_es.reads.recent import CHARACTERS, Recent

QUERY_SECONDS: Final = 10.0
_REMEMBERED: Final = 1_000
_MAX_ERRORS: Final = 20


class Gate(SchemaExtension):
    """Strawberry makes one for each operation; what it remembers is the schema's."""

    def __init__(self, known: Recent[DocumentNode]) -> None:
        self.known = known
        self.fresh = True

    def on_parse(self) -> Iterator[None]:
        execution = self.execution_context
        if execution.query:
            remembered = self.known.get(execution.query)
            self.fresh = remembered is None
            execution.graphql_document = remembered or limits.read(execution.query)
            operation = _permitted(execution.graphql_document, execution)
            if isinstance(execution.context, Context) and execution.context.engine.access.mode is not AccessMode.OFF:
                execution.context.asked = accounting.asked(
                    execution.query, execution.graphql_document, operation, execution.variables
                )
        yield

    def on_validate(self) -> Iterator[None]:
        execution = self.execution_context
        document, query = execution.graphql_document, execution.query
        if document is not None and query is not None:
            schema = execution.schema._schema  # noqa: SLF001  # Strawberry has no public name for it
            faults = _faults(schema, document) if self.fresh else []
            if not faults:
                self.known.put(query, document, len(query))
            execution.validation_rules = ()
            execution.pre_execution_errors = faults or _charged(schema, document, execution)
        yield


def _faults(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    found = limits.check(document) or validate(schema, document, max_errors=_MAX_ERRORS, hide_suggestions=True)
    return [_endless(each) if isinstance(each.original_error, ValueError) else each for each in found]


def _endless(error: GraphQLError) -> GraphQLError:
    """Python reads no number of more than 4,300 digits, and scalars are asked for theirs."""
    return GraphQLError(
        "A number has too many digits.", nodes=error.nodes, extensions={"code": "GRAPHQL_VALIDATION_FAILED"}
    )


def _permitted(document: DocumentNode, execution: ExecutionContext) -> OperationDefinitionNode:
    """What to run. Raises: GraphQLError, unless the request names one operation, of a kind that goes through this door."""
    operation = get_operation_ast(document, execution._provided_operation_name)  # noqa: SLF001  # the public one guesses
    if operation is None:
        raise GraphQLError(
            "The document has no operation of that name, or several and none is named.",
            extensions={"code": "GRAPHQL_VALIDATION_FAILED"},
        )
    if operation.operation.value not in {kind.value for kind in execution.allowed_operations}:
        raise GraphQLError(
            "Subscriptions go over a WebSocket (graphql-transport-ws) or are asked for as text/event-stream.",
            nodes=operation,
            extensions={"code": "BAD_USER_INPUT"},
        )
    return operation


def _charged(schema: GraphQLSchema, document: DocumentNode, execution: ExecutionContext) -> list[GraphQLError] | None:
    """Take the operation's cost from its actor's minute; the refusal when it does not fit."""
    operation = get_operation_ast(document, execution.operation_name)
    context = execution.context
    if operation is None or not isinstance(context, Context):
        return None
    try:
        context.cost = cost_of(schema, document, operation, execution.variables or {})
        context.pay()
    except GraphQLError as error:
        return [error]
    except ProtocolError as error:
        return [GraphQLError(error.message, nodes=operation, original_error=error)]
    return None


class CrmSchema(Schema):
    """Strawberry's schema behind the gate."""

    def __init__(
        self, query: type, mutation: type | None, subscription: type | None, *, types: Sequence[type] = ()
    ) -> None:
        self._known = Recent[DocumentNode](_REMEMBERED, CHARACTERS)
        super().__init__(
            query,
            mutation,
            subscription,
            types=types,
            execution_context_class=accounting.Executor,
            extensions=[lambda: Gate(self._known), lambda: CompiledQueries(self.compiled, _compiled)],
            config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
        )
        plan_inputs(self)
        self.compiled = CompiledReads(self._schema)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: `failures.masked` logs, once, what deserves it."""

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        context: Context | None = kwargs.get("context_value")
        result: ExecutionResult | None = None
        try:
            result = await super().execute(*args, **kwargs)
            await _finish(result, context)
        finally:
            if context is not None:
                await context.close(sound=result is not None)
                if result is None and context.asked is not None:
                    context.engine.access.note(accounting.row_of(context, context.asked, None))
        return await accounting.account(context, result)

    def kind_of(self, query: str, operation_name: str | None) -> OperationType | None:
        """What the document asks for; None where it cannot be read, which running it will say better."""
        try:
            operation = get_operation_ast(self._known.get(query) or limits.read(query), operation_name)
        except GraphQLError:
            return None
        return OperationType(operation.operation.value) if operation else None

    async def stream(
        self, query: str | None, *args: Any, seconds: float = QUERY_SECONDS, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Results one after the other; a query has one, and so many seconds for it."""
        kind = self.kind_of(query or "", kwargs.get("operation_name"))
        results = await super().stream(query, *args, **kwargs)
        return _finished(results, kwargs.get("context_value"), seconds if kind is OperationType.QUERY else None)


def _compiled(context: object) -> bool:
    return isinstance(context, Context) and context.engine.settings.compiled_reads


async def _finished(
    results: AsyncGenerator[Any, None], context: Context | None, seconds: float | None
) -> AsyncGenerator[Any, None]:
    try:
        while (result := await _next(results, seconds)) is not None:
            await _finish(result, context)
            if context is not None:
                await context.close()
            yield await accounting.account(context, result)
    finally:
        try:
            await results.aclose()
        finally:
            if context is not None:
                await context.close(sound=False)


async def _next(results: AsyncGenerator[Any, None], seconds: float | None) -> Any | None:
    """None where there are no more."""
    if seconds is None:
        return await anext(results, None)
    try:
        async with asyncio.timeout(seconds):
            return await anext(results, None)
    except TimeoutError:
        late = took_too_long(seconds)
        return PreExecutionError(data=None, errors=[GraphQLError(late.message, original_error=late)])


def took_too_long(seconds: float) -> ProtocolError:
    return ProtocolError("TIMEOUT", f"This took longer than {seconds:g} seconds. Ask for less at once.")


async def _finish(result: ExecutionResult, context: Context | None) -> None:
    running = not isinstance(result, PreExecutionError)
    if result.errors:
        result.errors = [shown(error, running=running) for error in result.errors]
    if running and context is not None:
        result.extensions = {"cost": context.cost} | await context.standing()
