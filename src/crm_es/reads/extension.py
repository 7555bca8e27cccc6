"""Where the compiled path meets Strawberry: after parsing, validation and limits, in the place of execution."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionResult

from crm_es.reads.execute import CompiledReads


class CompiledQueries(SchemaExtension):
    """Answers what has a plan; `wanted(context)` is the switch. `data` is then a msgspec struct: encode it with msgspec."""

    def __init__(self, compiled: CompiledReads, wanted: Callable[[Any], bool]) -> None:
        self._compiled = compiled
        self._wanted = wanted

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        if execution.query and self._wanted(execution.context):
            found = await self._compiled.result(
                execution.query, execution.context.reads, execution.variables,
                execution._provided_operation_name,  # noqa: SLF001  # the public one guesses
                document=execution.graphql_document,
            )  # fmt: skip
            if found is None:
                execution.context.reads.trail.clear()  # what it read before it gave up is not answered
            else:
                execution.result = ExecutionResult(data=found.data, errors=found.errors)
        yield
