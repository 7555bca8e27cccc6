"""How a mutation becomes a payload: one path for all of them, so that each is only its decision.

    @strawberry.type
    class ContactMutations:
        @mutation(RegisterContactPayload, needs(CONTACT, CREATE), shows=("contact_profiles",), description="…")
        async def register_contact(deed: Deed, input: RegisterContactInput) -> Outcome:
            return await deed.store.create(deed.command, CONTACT, new_id(), contact.register(…))

Refusals raised on the way are `userErrors`; the payload's records are read back by their live ids through the same path as any
query, on a snapshot taken after the wait for the read models named in `shows`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints
from uuid import UUID

import msgspec
import strawberry
from graphql import GraphQLNamedType

from crm_es.api import ids
from crm_es.api.problems import UserError
from crm_es.api.refusals import REFUSALS, user_error
from crm_es.api.rules import PARENT, Rule, permit, ruled
from crm_es.api.scalars import Position
from crm_es.context import Context, Info
from crm_es.errors import ConflictError, NotAllowedError
from crm_es.eventstore.event import Command, camel
from crm_es.eventstore.store import Outcome, Store
from crm_es.occasions import check_happened
from crm_es.reads import records
from crm_es.reads.model import read_of

if TYPE_CHECKING:
    from crm_es.schema import Query

P = TypeVar("P", bound="Payload")
Types = Mapping[str, GraphQLNamedType]


@strawberry.input
class Envelope:
    """What every mutation's input takes beside its own fields."""

    command_id: UUID | None = strawberry.field(
        default=None,
        description="Send the same again after a lost answer: it is done once, and answered as `replayed`.",
    )
    occurred_at: datetime | None = strawberry.field(
        default=None, description="When it happened in the world; now, if left out."
    )
    reason: str | None = strawberry.field(default=None, description="Why. Kept with the event for ever, as a text.")


@strawberry.input
class Versioned(Envelope):
    """The same, for mutations of a record that exists."""

    expected_version: int | None = strawberry.field(
        default=None,
        description="The version your form was opened at: later changes of other fields merge, of the same field conflict. "
        "Left out, the last write wins.",
    )


def _query() -> Annotated["Query", strawberry.lazy("crm_es.schema")] | None:
    from crm_es.schema import Query  # noqa: PLC0415  # the schema is made of these payloads

    return object.__new__(Query)  # its fields are all resolved; none is given


@ruled(PARENT)
@strawberry.interface(description="What a mutation answers.")
class Payload:
    position: Position | None = strawberry.field(
        default=None, description="Where its last event stands in the log; null when nothing was recorded."
    )
    projected: bool = strawberry.field(
        default=True, description="False: accepted, but the read models lagged past the wait; what is shown is older."
    )
    replayed: bool = strawberry.field(
        default=False, description="This commandId was done before; the records are shown as they are now."
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was refused; empty when it was done."
    )
    ids: strawberry.Private[tuple[UUID, ...]] = ()

    query: Annotated["Query", strawberry.lazy("crm_es.schema")] | None = strawberry.field(
        resolver=_query, description="Read on, at this position or later."
    )


def record(target: type[Any], description: str, nth: int = 0) -> Any:
    """A payload's field for the record that stands `nth` in `Outcome.ids`; null when the mutation was refused."""

    async def resolve(self: Payload, info: Info) -> Any:
        if self.user_errors or len(self.ids) <= nth:
            return None
        return await records.load(info.context.reads.present, read_of(target), self.ids[nth])

    resolve.__annotations__["return"] = target | None
    return strawberry.field(resolver=resolve, description=description)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """What a mutation's body works with. `command` is the envelope of all it appends, `types` are the schema's by name."""

    context: Context
    types: Types
    command: Command
    expected_version: int | None

    @property
    def store(self) -> Store:
        return self.context.engine.store

    def live(self, id_: str, *types: str, field: str = "id") -> UUID:
        """The record an id of the input names. Raises: InvalidInputError."""
        return ids.live(id_, *types, field=(field,))


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome with fields of its own for the payload (rows of a batch, a secret shown once)."""

    outcome: Outcome
    fields: Mapping[str, Any]


Body = Callable[[Deed, Any], Awaitable[Outcome | Answer]]


@dataclass(frozen=True, slots=True)
class Door:
    """A mutation by its name in the schema. Behind it stands what decides; waiting and reading back is GraphQL's."""

    name: str
    rule: Rule
    body: Body

    async def enter(self, context: Context, types: Types, input: Any, *, fresh: bool = False) -> Answer:
        """`fresh`: the caller knows that the log does not hold the input's commandId. Raises: the refusal."""
        if self.rule.needs is not None:
            permit(context, *self.rule.needs)
        answer = await self.body(deed(context, types, self.name, input, fresh=fresh), input)
        return answer if isinstance(answer, Answer) else Answer(answer, {})


def mutation(payload: type[Payload], rule: Rule, *, shows: Sequence[str], description: str) -> Callable[[Body], Any]:
    """A root field of Mutation. `shows` names the read models its payload reads: it waits for these alone."""

    def make(body: Body) -> Any:
        door = Door(camel(body.__name__), rule, body)

        async def resolve(info: Info, input: Any) -> Any:
            return await mutate(info, input, payload, shows=shows, door=door)

        resolve.__name__ = body.__name__
        resolve.__annotations__ = {"info": Info, "input": get_type_hints(body)["input"], "return": payload}
        return strawberry.mutation(resolver=resolve, description=description, metadata={"rule": rule, "door": door})

    return make


async def mutate(info: Info, input: Any, payload: type[P], *, shows: Sequence[str], door: Door) -> P:
    """Decide, append, wait, answer."""
    context, types = info.context, info.schema._schema.type_map  # noqa: SLF001  # Strawberry has no public name for it
    try:
        answer = await door.enter(context, types, input)
    except REFUSALS as error:
        if isinstance(error, ConflictError):
            await context.shown()  # what stands in the way may be younger than the read models
        if isinstance(error, NotAllowedError):
            context.trail.denied = "NOT_ALLOWED"
        await context.renew()
        return payload(user_errors=[user_error(error)])
    outcome = answer.outcome
    projected = await context.shown(outcome.log_id, shows)
    await context.renew()
    return payload(
        position=None if outcome.position is None else Position(outcome.position),
        projected=projected,
        replayed=outcome.replayed,
        ids=outcome.ids,
        **answer.fields,
    )


def deed(context: Context, types: Types, name: str, input: Any, *, fresh: bool = False) -> Deed:
    """The command behind an input; its request hash is what tells a repeated commandId from a reused one.

    Raises: InvalidInputError `occurred_at.in_future`.
    """
    check_happened(getattr(input, "occurred_at", None), context.now)
    actor = context.identity.actor
    words = msgspec.json.encode(plain(input), order="sorted")
    command = context.command(
        getattr(input, "command_id", None),
        context.engine.keys.blind(context.workspace, "request", name, f"{actor.kind}/{actor.id}", words),
        occurred_at=getattr(input, "occurred_at", None),
        reason=getattr(input, "reason", None),
        fresh=fresh,
    )
    version = getattr(input, "expected_version", None)
    return Deed(context=context, types=types, command=command, expected_version=version)


def plain(value: Any) -> Any:
    """An input as it was said, without what was left out and without commandId."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return {
        name: plain(item) for name, item in vars(value).items() if item is not strawberry.UNSET and name != "command_id"
    }


def said(value: Any) -> Any:
    """A field of an update, for the domain: what was left out is msgspec's UNSET there."""
    return msgspec.UNSET if value is strawberry.UNSET else value
