"""The schema's mutations as an import enters them: inputs checked as the schema does, decided as for everybody, and neither
waited for nor read back, since nobody looks at what they answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError, GraphQLInputType, OperationDefinitionNode, get_named_type, get_variable_values, parse

from crm_es.api.coercion import MisfitError, coercer
from crm_es.api.execution import CrmSchema
from crm_es.api.failures import shown
from crm_es.api.payloads import Door
from crm_es.api.problems import UserError
from crm_es.api.refusals import REFUSALS, user_error
from crm_es.api.rows import Row
from crm_es.context import Context


class FailedError(Exception):
    """Failed, not refused: `errors` are what GraphQL would answer."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__(*errors)
        self.errors = errors


class Doors:
    def __init__(self, schema: CrmSchema) -> None:
        self._core = schema._schema  # noqa: SLF001  # Strawberry has no public name for it
        self._types: dict[str, Any] = {
            name: known.definition for name, known in schema.schema_converter.type_map.items()
        }
        self._found: dict[str, tuple[Door, Any, GraphQLInputType]] = {}

    async def enter(
        self, mutation: str, context: Context, given: Mapping[str, Any], *, fresh: bool
    ) -> Mapping[str, Any]:
        """What all payloads say, and those of batches of their rows. `fresh`: the log does not hold the input's commandId.

        Raises: FailedError.
        """
        door, type_, named = self._found.get(mutation) or self._find(mutation)
        try:
            made = self._made(type_, named, given)
            answer = await door.enter(context, self._core.type_map, made, fresh=fresh)
        except FailedError:
            raise
        except REFUSALS as error:
            return _payload(None, replayed=False, refused=[user_error(error)])
        except Exception as exc:
            raise FailedError([shown(GraphQLError(str(exc), original_error=exc), running=True)]) from exc
        finally:
            await context.close()
        outcome, fields = answer.outcome, answer.fields
        payload = _payload(outcome.position, replayed=outcome.replayed, refused=fields.get("user_errors", ()))
        return payload | {"rows": [_row(row) for row in fields["rows"]]} if "rows" in fields else payload

    def _find(self, mutation: str) -> tuple[Door, Any, GraphQLInputType]:
        field = self._core.mutation_type.fields[mutation] if self._core.mutation_type else None
        assert field is not None  # noqa: S101  # a plan was made with it
        named = field.args["input"].type
        door: Door = field.extensions["strawberry-definition"].metadata["door"]
        self._found[mutation] = door, self._types[get_named_type(named).name], named
        return self._found[mutation]

    def _made(self, type_: Any, named: GraphQLInputType, given: Mapping[str, Any]) -> Any:
        try:
            coerced = coercer(named)(given)
        except MisfitError:
            coerced = self._explained(named, given)
        return type_.from_input(type_.origin, coerced, None)

    def _explained(self, named: GraphQLInputType, given: Mapping[str, Any]) -> Any:
        """What graphql-core makes of it. Raises: FailedError with what it says."""
        (operation,) = parse(f"query ($input: {named}) {{ __typename }}").definitions
        assert isinstance(operation, OperationDefinitionNode)  # noqa: S101  # we wrote it
        values = get_variable_values(self._core, operation.variable_definitions or (), {"input": given})
        if isinstance(values, list):
            raise FailedError([shown(error, running=True) for error in values])
        return values.coerced["input"]


def _row(row: Row) -> dict[str, Any]:
    """`created` tells rows that were there already; only some batches have it."""
    return {"index": row.index, "created": getattr(row, "created", True), "userErrors": _errors(row.user_errors)}


def _payload(position: int | None, *, replayed: bool, refused: Sequence[UserError]) -> dict[str, Any]:
    return {"position": position, "replayed": replayed, "userErrors": _errors(refused), "rows": []}


def _errors(refused: Sequence[UserError]) -> list[Mapping[str, Any]]:
    return [{"field": each.field, "rule": each.rule, "message": each.message} for each in refused]
