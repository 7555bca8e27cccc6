"""Every operation leaves a row in the access log: here it is made, before the answer goes out."""

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.execution import ExecutionResult, PreExecutionError

from crm_es.access.entry import MOST_IDS, Entry, entry
from crm_es.access.operations import Operations
from crm_es.api.failures import shown
from crm_es.context import Asked, Context
from crm_es.errors import UnavailableError
from crm_es.reads import records

DENIED: Final = frozenset({"FORBIDDEN", "NOT_ALLOWED", "UNAUTHENTICATED"})
"""Codes that say he might not; all others say that it could not be."""
_operations: Final = Operations()


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Notes each record as it is answered: not those that were only looked at on the way."""

    def complete_object_value(
        self, return_type: Any, fields: Any, info: Any, path: Any, result: Any, *rest: Any
    ) -> Any:
        if hasattr(type(result), "__read__"):
            records.answered(result)
        return super().complete_object_value(return_type, fields, info, path, result, *rest)


def asked(
    text: str, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None
) -> Asked:
    return Asked(operation=_operations.of(text, document, operation), text=text, variables=variables or {})


async def account(context: Context | None, result: ExecutionResult) -> ExecutionResult:
    """The answer, once its row is taken (durable, where it must be); without the row, there is no answer."""
    if context is None or context.asked is None or _broke(result):
        return result
    row = row_of(context, context.asked, result)
    context.engine.mass_reads.saw(context.workspace, row.actor, row.contacts)
    try:
        await context.engine.access.record(row)
    except UnavailableError as error:
        failure = shown(GraphQLError(error.message, original_error=error), running=True)
        result = ExecutionResult(data=None, errors=[failure], extensions=result.extensions)
    context.trail.clear()
    return result


def _broke(result: ExecutionResult) -> bool:
    """It failed by our fault before it ran, as the application's own log tells: nothing was read."""
    return isinstance(result, PreExecutionError) and code_of(result) == "INTERNAL"


def row_of(context: Context, asked: Asked, result: ExecutionResult | None) -> Entry:
    """`result` is None for what was given up."""
    trail, now = context.trail, time.perf_counter()
    code = "CANCELLED" if result is None else trail.denied or code_of(result)
    if result is None or isinstance(result, PreExecutionError):
        trail.clear()
    row = entry(
        workspace=context.workspace, actor=context.identity.actor, kind=asked.operation.kind,
        operation=asked.operation.name, operation_hash=asked.operation.hash, trail=trail, purpose=context.purpose,
        position=int(((result and result.extensions) or {}).get("position", 0)), seconds=now - asked.started,
        code=code, allowed=code not in DENIED,
        query_digest=digest_of(context, asked) if trail.count > MOST_IDS else None,
    )  # fmt: skip
    asked.started = now
    return row


def code_of(result: ExecutionResult) -> str | None:
    """Of its errors, the refusal if there is one."""
    codes = [str((error.extensions or {}).get("code")) for error in result.errors or ()]
    return next((code for code in codes if code in DENIED), codes[0] if codes else None)


def digest_of(context: Context, asked: Asked) -> bytes:
    """Which question it was, under a key of the workspace: its variables may be somebody's data."""
    words = msgspec.json.encode([asked.text, asked.variables], enc_hook=str, order="sorted")
    return context.engine.keys.blind(context.workspace, "access", words)
