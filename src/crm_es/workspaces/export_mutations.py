"""Asking for an export, and deciding what somebody else asked for."""

import dataclasses
import json
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.nodes import AsOf
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record
from crm_es.api.references import absent
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.api.scalars import instant
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.errors import CrmError, NotAllowedError
from crm_es.eventstore.event import camel
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id
from crm_es.values import parse_text
from crm_es.workspaces import export
from crm_es.workspaces.audit import EventFilter
from crm_es.workspaces.export import EXPORT, ExportScope, Wanted
from crm_es.workspaces.export_graphql import Export
from crm_es.workspaces.export_scoping import check, named_ids, read_filter, widened
from projections import changes, exports

SHOWS = (exports.NAME, changes.NAME)
LONGEST = 10_000


@strawberry.input(description="A bundle to be made.")
class RequestExportInput(Envelope):
    purpose: str = strawberry.field(description="What it is for. Kept with the events for ever.")
    filter: EventFilter | None = strawberry.field(
        default=UNSET,
        description="Which events the views show. What is proved complete is the least of record, range and workspace "
        "that holds them.",
    )
    contact_id: ID | None = strawberry.field(default=UNSET, description="Only what is about this contact.")
    at: AsOf | None = strawberry.field(default=UNSET, description="As of then; when it is made, if left out.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")


@ruled(PARENT)
@strawberry.type(description="The export, queued, or waiting for somebody else to allow it.")
class RequestExportPayload(Payload):
    export: Export | None = record(Export, "The export; null when refused.")


@strawberry.input(description="Allow what somebody else asked for, or not.")
class DecideExportInput(Versioned):
    id: ID = strawberry.field(description="The export.")
    approve: bool = strawberry.field(description="Whether it may be made.")
    reason: str = strawberry.field(description="Why. Kept with the event for ever.")


@ruled(PARENT)
@strawberry.type(description="The export as it was decided.")
class DecideExportPayload(Payload):
    export: Export | None = record(Export, "The export; null when refused.")


@strawberry.type
class ExportMutations:
    @mutation(
        RequestExportPayload, needs(EntityType.EXPORT, Action.AUDIT), shows=SHOWS,
        description="Have a provable bundle made. What holds the personal data of many, somebody else must allow first.",
    )  # fmt: skip
    async def request_export(deed: Deed, input: RequestExportInput) -> Outcome:
        wanted = await _wanted(deed, input)
        events = export.request(
            wanted, purpose=parse_text(input.purpose, ("purpose",)),
            reason=parse_text(input.reason, ("reason",), longest=LONGEST), by=deed.context.identity.actor.id,
        )  # fmt: skip
        return await deed.store.create(deed.command, EXPORT, new_id(), events)

    @mutation(
        DecideExportPayload, needs(EntityType.EXPORT, Action.EXPORT), shows=SHOWS,
        description="Allow an export that somebody else asked for, or deny it.",
    )  # fmt: skip
    async def decide_export(deed: Deed, input: DecideExportInput) -> Outcome:
        parse_text(input.reason, ("reason",), longest=LONGEST)
        return await deed.store.decide(
            deed.command, EXPORT, deed.live(input.id, "Export"),
            lambda was: export.decide(was, approve=input.approve, by=deed.context.identity.actor.id),
            expected_version=deed.expected_version,
        )  # fmt: skip


async def cancel(deed: Deed, id_: UUID) -> Outcome:
    """One's own, or with ADMINISTER any. Raises: NotAllowedError, RuleViolatedError, NotFoundError."""
    loaded = await deed.store.load(EXPORT, deed.command.workspace, id_)
    if loaded is None or deed.context.permissions.scope(EntityType.EXPORT, Action.READ) is None:
        raise absent("job", ("id",))
    mine = loaded.state.asked is not None and loaded.state.asked.requester_id == deed.context.identity.actor.id
    if not mine and deed.context.permissions.scope(EntityType.MEMBER, Action.ADMINISTER) is None:
        raise NotAllowedError("This job is not yours.", field=("id",))
    return await deed.store.decide(deed.command, EXPORT, id_, export.cancel, expected_version=deed.expected_version)


async def _wanted(deed: Deed, input: RequestExportInput) -> Wanted:
    """Raises: InvalidInputError, NotFoundError, AsOfOutOfRangeError."""
    try:
        moment = await deed.context.reads.moment(input.at)
    except CrmError as exc:  # what queries call asOf
        exc.field = ("at", *exc.field[1:])
        raise
    wanted = Wanted(upto=moment.at, filter=_text(input.filter))
    await _check_named(deed, wanted)
    if not input.contact_id:
        return widened(wanted)
    contact = deed.live(input.contact_id, "Contact", field="contactId")
    if contact not in await deed.store.exists(deed.command.workspace, CONTACT, [contact]):
        raise absent("contact", ("contactId",))
    return Wanted(scope=ExportScope.SUBJECT, id=contact, upto=wanted.upto, filter=wanted.filter)


async def _check_named(deed: Deed, wanted: Wanted) -> None:
    """Raises: NotFoundError, for a filter by what is not of this workspace; InvalidInputError, by what no event is."""
    said = read_filter(wanted.filter) if wanted.filter else {}
    check(said)
    for id_ in named_ids(said):
        named = deed.live(id_, ids.decode(id_, ("filter",)).type, field="filter")
        if not await deed.store.facts(deed.command.workspace, named, upto=1):
            raise absent("record", ("filter",))


def _text(given: Any) -> str | None:
    """A filter as the variable that said it."""
    return json.dumps(_said(given), sort_keys=True, ensure_ascii=False) if given else None


def _said(value: Any) -> Any:
    match value:
        case list():
            return [_said(each) for each in value]
        case datetime():
            return instant(value)
        case UUID():
            return str(value)
        case int() if not isinstance(value, bool):
            return str(value)  # positions are all the numbers there are
        case _ if dataclasses.is_dataclass(value):
            held = vars(value).items()
            return {camel(name.rstrip("_")): _said(each) for name, each in held if each is not UNSET}
        case _:
            return value
