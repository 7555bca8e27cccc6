"""What a mutation of many records answers: a row for each."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import strawberry

from crm_es.api import batches
from crm_es.api.payloads import Answer, Deed
from crm_es.api.problems import UserError
from crm_es.api.refusals import user_error
from crm_es.context import Info
from crm_es.eventstore.aggregate import Aggregate
from crm_es.reads import records
from crm_es.reads.model import read_of


@strawberry.type
class Row:
    """What every type of row begins with. `id` is the record's; None where the row was refused."""

    index: int = strawberry.field(description="Which row, from 0.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")
    id: strawberry.Private[UUID | None]


def record(target: type[Any], description: str) -> Any:
    """A row's field for its record."""

    async def resolve(self: Row, info: Info) -> Any:
        if self.id is None:
            return None
        return await records.load(info.context.reads.present, read_of(target), self.id)

    resolve.__annotations__["return"] = target | None
    return strawberry.field(resolver=resolve, description=description)


async def changed(
    deed: Deed, aggregate: Aggregate[Any, Any], rows: Sequence[batches.Row], made: type[Row], *, all_or_none: bool
) -> Answer:
    """Change them; a payload with `rows`, or with why the whole batch was refused."""
    outcome, done = await batches.change(deed, aggregate, rows, all_or_none=all_or_none)
    refused = [_errors(one) for one in done]
    if all_or_none and any(refused):
        return Answer(outcome, {"user_errors": [error for errors in refused for error in errors]})
    answered = [
        made(index=n, user_errors=errors, id=one.id) for n, (one, errors) in enumerate(zip(done, refused, strict=True))
    ]
    return Answer(outcome, {"rows": answered})


def _errors(done: batches.Done) -> list[UserError]:
    return [user_error(done.error)] if done.error else []
