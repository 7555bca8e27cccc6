"""Publishing SLA policies."""

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

import strawberry
from msgspec import UNSET
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Envelope, Payload, mutation, record
from crm_es.api.references import Reference, check
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.api.scalars import TimeZone
from crm_es.contacts.inputs import each, may_say
from crm_es.errors import FieldPath
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.store import Decided, Outcome
from crm_es.service import sla_policy
from crm_es.service.calendar import Calendar, OpeningHours, parse_time_of_day
from crm_es.service.public_holidays import public_holidays
from crm_es.service.queue import QUEUE
from crm_es.service.sla import SlaTarget
from crm_es.service.sla_graphql import SlaPolicy
from crm_es.service.sla_policy import SLA_POLICY
from crm_es.service.vocabulary import HoldReason, Priority, SlaKind
from crm_es.values import parse_text

SHOWS: Final = ("service_queues",)


@strawberry.input(description="So much business time for one kind of promise to tickets of one priority.")
class SlaTargetInput:
    kind: SlaKind = strawberry.field(description="What is promised.")
    priority: Priority = strawberry.field(description="To tickets of this priority.")
    seconds: int = strawberry.field(description="Business seconds.")


@strawberry.input(
    description="When a weekday is open. Night shifts are two: up to 24:00, and from 00:00 of the next weekday."
)
class OpeningHoursInput:
    weekday: int = strawberry.field(description="1 = Monday.")
    opens: str = strawberry.field(description="By the wall clock, as 09:00.")
    closes: str = strawberry.field(description="By the wall clock, as 17:00; 24:00 ends the day.")


@strawberry.input(description="When the time of a promise counts.")
class CalendarInput:
    time_zone: TimeZone = strawberry.field(description="Where the hours are.")
    hours: list[OpeningHoursInput] = strawberry.field(description="All of the week's hours.")
    holidays: str | None = may_say("ISO 3166 code whose public holidays do not count: DE, or DE-BY.")
    closed_on: list[date] | None = may_say("Further days that do not count.")


@strawberry.input(description="A version of an SLA policy. The name tells which policy it is; a new name is a new one.")
class PublishSlaPolicyInput(Envelope):
    name: str = strawberry.field(description="What it is called.")
    queue_ids: list[ID] | None = may_say("Whose tickets get it; those of the version before, if left out.")
    targets: list[SlaTargetInput] = strawberry.field(description="All that is promised.")
    calendar: CalendarInput = strawberry.field(description="When time counts.")
    paused_by: list[HoldReason] = strawberry.field(description="What a ticket can wait for without time going by.")


@ruled(PARENT)
@strawberry.type(description="The version published.")
class PublishSlaPolicyPayload(Payload):
    policy: SlaPolicy | None = record(SlaPolicy, "The new version; null when refused.")


@strawberry.type
class SlaMutations:
    @mutation(
        PublishSlaPolicyPayload, needs(EntityType.QUEUE, Action.UPDATE), shows=SHOWS,
        description="Promise something to those who write: tickets that are opened in these queues from now on, or enter "
        "them, get it. Tickets keep the version they got.",
    )  # fmt: skip
    async def publish_sla_policy(deed: Deed, input: PublishSlaPolicyInput) -> Outcome:
        given = await _parsed(deed, input)
        queues = given["queue_ids"] or ()
        await check(deed, [Reference(QUEUE, id_, ("queueIds", str(n))) for n, id_ in enumerate(queues)])
        stream = sla_policy.stream_of(deed.command.workspace, given["name"])

        def decide(loaded: Mapping[UUID, Loaded[Any] | None]) -> Decided:
            was = loaded[stream]
            events = sla_policy.publish(was.state if was else None, **given)
            version = sla_policy.version_id(stream, was.version + 1 if was else 1)
            return Decided(events={stream: events}, ids=[version])

        return await deed.store.transact(deed.command, [(SLA_POLICY, stream)], decide)


async def _parsed(deed: Deed, input: PublishSlaPolicyInput) -> dict[str, Any]:
    """Raises: InvalidInputError at its place in the input."""
    queues = UNSET if input.queue_ids is strawberry.UNSET else list(each("queueIds", input.queue_ids or (), _queue))
    return {
        "name": parse_text(input.name, ("name",)),
        "queue_ids": queues,
        "targets": [SlaTarget(kind=one.kind, priority=one.priority, seconds=one.seconds) for one in input.targets],
        "calendar": await _calendar(input.calendar, deed.context.now.year),
        "paused_by": input.paused_by,
    }


async def _calendar(given: CalendarInput, year: int) -> Calendar:
    hours = tuple(_hours(one, ("calendar", "hours", str(index))) for index, one in enumerate(given.hours))
    code, days = given.holidays or None, tuple[date, ...]()
    if code is not None:  # it takes longer than a request should hold up others
        days = await asyncio.to_thread(public_holidays, code, year, ("calendar", "holidays"))
    closed = tuple(sorted(set(given.closed_on or ())))
    return Calendar(time_zone=given.time_zone, hours=hours, holidays=code, holiday_dates=days, closed_on=closed)


def _hours(given: OpeningHoursInput, field: FieldPath) -> OpeningHours:
    opens, closes = (
        parse_time_of_day(given.opens, (*field, "opens")),
        parse_time_of_day(given.closes, (*field, "closes")),
    )
    return OpeningHours(weekday=given.weekday, opens=opens, closes=closes)


def _queue(value: str, field: FieldPath) -> UUID:
    return ids.live(value, "Queue", field=field)
