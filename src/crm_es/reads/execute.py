"""The compiled path: documents to plans, kept; plans to bytes. Whatever it cannot answer it leaves, with a reason, to the
generic executor, which then also says what was wrong.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_variable_values,
    parse,
    type_from_ast,
    validate,
)

from crm_es.errors import CrmError
from crm_es.reads.arguments import shape, taken
from crm_es.reads.build import NullFoundError
from crm_es.reads.environment import Environment, together
from crm_es.reads.errors import NotCompilableError, ReadTimeoutError
from crm_es.reads.plan import Compiler, Plan, Root
from crm_es.reads.recent import CHARACTERS, Recent
from crm_es.reads.session import Permissions, Reads
from crm_es.reads.sql import Slot, Viewer
from crm_es.workspaces.actions import Action, EntityType

PLANS = 1000
PLANNED = 60_000
"""Objects and fields that plans make together, at about 1 KB each."""
DOCUMENTS = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that is valid, and its operation."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    types: Mapping[str, GraphQLInputType]


@dataclass(slots=True)
class Refused:
    """A document or shape that has no plan, and why."""

    reason: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class CompiledReads:
    """`answer` and `result` give None where the generic executor must answer. `outcomes` counts answers and reasons.

    Documents are checked by the schema's own rules at most; limits are the caller's.
    """

    schema: GraphQLSchema
    outcomes: Counter[str] = field(default_factory=Counter)
    _documents: Recent[Prepared | Refused] = field(default_factory=lambda: Recent(DOCUMENTS, CHARACTERS))
    _plans: Recent[Plan | Refused] = field(default_factory=lambda: Recent(PLANS, PLANNED))
    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _groups: WeakKeyDictionary[Permissions, int] = field(default_factory=WeakKeyDictionary)
    _encoder: msgspec.json.Encoder = field(default_factory=msgspec.json.Encoder)

    async def answer(
        self, text: str, reads: Reads, variables: Mapping[str, Any] | None = None, operation_name: str | None = None
    ) -> bytes | None:
        """The JSON of `data`."""
        found = await self.result(text, reads, variables, operation_name)
        return None if found is None else self._encoder.encode(found.data)

    async def result(
        self, text: str, reads: Reads, variables: Mapping[str, Any] | None = None, operation_name: str | None = None,
        *, document: DocumentNode | None = None,
    ) -> ExecutionResult | None:  # fmt: skip
        """`data` is made of msgspec structs. `document` is the text parsed, where it is known to be valid."""
        try:
            plan, coerced = self.plan(text, reads, variables or {}, operation_name, document=document)
            found = await self._run(plan, coerced, reads)
        except NotCompilableError as exc:
            self.outcomes[exc.message] += 1
            return None
        except (CrmError, NullFoundError, GraphQLError) as exc:
            self.outcomes[type(exc).__name__] += 1
            return None
        self.outcomes["compiled"] += 1
        return found

    def plan(
        self, text: str, reads: Reads, variables: Mapping[str, Any], operation_name: str | None = None,
        *, document: DocumentNode | None = None,
    ) -> tuple[Plan, Mapping[str, Any]]:  # fmt: skip
        """The plan and the coerced variables. Raises: NotCompilableError, and what wrong arguments raise."""
        asked = (text, operation_name)
        prepared = self._documents.get(asked) or self._documents.put(
            asked, self._prepare(text, operation_name, document), len(text)
        )
        if isinstance(prepared, Refused):
            raise NotCompilableError(prepared.reason)
        coerced = self._coerce(prepared, variables)
        shapes = tuple((name, shape(prepared.types[name], value)) for name, value in coerced.items())
        key = (asked, shapes, self._group(reads.permissions))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._compile(prepared, coerced, reads)
            self._plans.put(key, plan, plan.size)
        if isinstance(plan, Refused):
            raise NotCompilableError(plan.reason)
        return plan, coerced

    def _group(self, permissions: Permissions) -> int:
        """The number of those whose permissions make the same statements."""
        known = self._groups.get(permissions)
        if known is None:
            known = self._groups[permissions] = self._numbers.setdefault(fingerprint(permissions), len(self._numbers))
        return known

    def _prepare(self, text: str, operation_name: str | None, document: DocumentNode | None) -> Prepared | Refused:
        if document is None:
            try:
                document = parse(text)
            except GraphQLError:
                return Refused("not parsed")
            if validate(self.schema, document):
                return Refused("not valid")
        operations = [
            node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
            and (operation_name is None or (node.name is not None and node.name.value == operation_name))
        ]
        if len(operations) != 1:
            return Refused("no such operation")
        (operation,) = operations
        if operation.operation is not OperationType.QUERY:  # the inputs of a mutation may be long: look at none of them
            return Refused("not a query")
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        types: dict[str, Any] = {
            node.variable.name.value: type_from_ast(self.schema, node.type)
            for node in operation.variable_definitions or ()
        }
        return Prepared(operation, fragments, types)

    def _coerce(self, prepared: Prepared, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        definitions = prepared.operation.variable_definitions
        if not definitions:
            return {}
        values = get_variable_values(self.schema, definitions, dict(variables))
        if isinstance(values, list):
            raise values[0]
        return values.coerced

    def _compile(self, prepared: Prepared, coerced: Mapping[str, Any], reads: Reads) -> Plan | Refused:
        viewer = Viewer(
            workspace=Slot(lambda e: e.moment.reads.workspace), member_id=Slot(lambda e: e.moment.viewer.member_id),
            now=Slot(lambda e: e.moment.viewer.now), time_zone=Slot(lambda e: e.moment.viewer.time_zone),
            masked=reads.masked, scope=reads.scope, audits=reads.audits,
        )  # fmt: skip
        try:
            return Compiler(prepared.fragments, coerced, viewer).plan(self.schema, prepared.operation)
        except NotCompilableError as exc:
            return Refused(exc.message)

    async def _run(self, plan: Plan, variables: Mapping[str, Any], reads: Reads) -> ExecutionResult:
        """What took too long is told here, and which: the generic executor would find its moment gone and no answer to any."""
        late: dict[str, GraphQLError] = {}

        async def answer(root: Root) -> Any:
            try:
                return await self._root(root, variables, reads, last=len(plan.roots) == 1)
            except ReadTimeoutError as exc:
                asked = root.selection
                late[asked.key] = GraphQLError(exc.message, asked.nodes, path=[asked.key], original_error=exc)

        answers = await together(reads, [partial(answer, root) for root in plan.roots])
        if any(root.required and root.selection.key in late for root in plan.roots):
            return ExecutionResult(None, [*late.values()])
        return ExecutionResult(plan.together(answers), [*late.values()] or None)

    async def _root(self, root: Root, variables: Mapping[str, Any], reads: Reads, *, last: bool) -> Any:
        environment = Environment(variables, reads.present)
        environment.last = last
        if root.as_of is not None:
            environment.moment = await reads.moment(taken(root.as_of, environment))
        return (await root.level.run(environment, None))[None]


def fingerprint(permissions: Permissions) -> Hashable:
    """What of a viewer's permissions shapes statements."""
    scope, masked = permissions.scope, permissions.masked
    return tuple((scope(type_, Action.READ), scope(type_, Action.AUDIT) is None, masked(type_)) for type_ in EntityType)
