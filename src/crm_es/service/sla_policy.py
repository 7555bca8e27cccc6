"""An SLA policy: what is promised to those who write, in business time. Each publishing is a version; tickets keep theirs.

A policy is told from others by its name. A queue's policy is the newest of those whose last version names the queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never
from uuid import UUID, uuid5

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError
from crm_es.eventstore.aggregate import Aggregate, Ref, no_subject
from crm_es.eventstore.event import changes
from crm_es.service.calendar import Calendar, check, weekly_seconds
from crm_es.service.enums import HoldReason
from crm_es.service.sla import Policy, SlaTarget

WEEKS: Final = 520
"""A promise falls due within ten years, whatever happens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlaPolicyPublished:
    """A whole version. `queue_ids` absent: the queues of the version before."""

    TOPIC: ClassVar[str] = "sla_policy.published"
    name: str
    queue_ids: tuple[UUID, ...] | UnsetType = changes("queues", default=UNSET)
    targets: tuple[SlaTarget, ...]
    calendar: Calendar
    paused_by: tuple[HoldReason, ...] = ()


SlaPolicyEvent = SlaPolicyPublished


@dataclass(frozen=True, kw_only=True, slots=True)
class SlaPolicy:
    """The newest version; `queue_ids` are those it has, said or kept."""

    version: int
    published: SlaPolicyPublished
    queue_ids: tuple[UUID, ...] = ()


def evolve(policy: SlaPolicy | None, event: SlaPolicyEvent) -> SlaPolicy:
    """The state after one more event. Never raises on stored history."""
    match event:
        case SlaPolicyPublished(queue_ids=queues):
            kept = policy.queue_ids if policy else ()
            queue_ids = kept if isinstance(queues, UnsetType) else queues
            return SlaPolicy(version=policy.version + 1 if policy else 1, published=event, queue_ids=queue_ids)
        case _:
            assert_never(event)


def stream_of(workspace: UUID, name: str) -> UUID:
    """Where the versions of the policy with this name stand."""
    return uuid5(workspace, f"sla_policy/{name.casefold()}")


def version_id(policy: UUID, version: int) -> UUID:
    """The id of one version, by which clocks and the API name it."""
    return uuid5(policy, str(version))


def terms(policy: UUID, version: int, published: SlaPolicyPublished) -> Policy:
    """A version as clocks ask it."""
    return Policy(
        version_id(policy, version),
        targets=published.targets,
        calendar=published.calendar,
        paused_by=published.paused_by,
    )


def publish(
    policy: SlaPolicy | None,  # noqa: ARG001  # each publishing is a version, though it says the same
    *,
    name: str,
    queue_ids: Sequence[UUID] | UnsetType = UNSET,
    targets: Sequence[SlaTarget],
    calendar: Calendar,
    paused_by: Sequence[HoldReason] = (),
) -> list[SlaPolicyEvent]:
    """Raises: InvalidInputError `sla_policy.no_targets`, `.target_twice`, `.target_out_of_reach`, and of the calendar."""
    check(calendar, ("calendar",))
    _check_targets(targets, weekly_seconds(calendar) * WEEKS)
    queues = queue_ids if isinstance(queue_ids, UnsetType) else tuple(dict.fromkeys(queue_ids))
    paused = tuple(reason for reason in HoldReason if reason in paused_by)
    return [
        SlaPolicyPublished(name=name, queue_ids=queues, targets=tuple(targets), calendar=calendar, paused_by=paused)
    ]


def _check_targets(targets: Sequence[SlaTarget], most: int) -> None:
    if not targets:
        raise InvalidInputError("Promise something: name a target.", rule="sla_policy.no_targets", field=("targets",))
    known = set()
    for index, target in enumerate(targets):
        if not 1 <= target.seconds <= most:
            message = f"With these hours a target has 1 to {most:,} seconds: it must fall due within ten years."
            place = ("targets", str(index), "seconds")
            raise InvalidInputError(message, rule="sla_policy.target_out_of_reach", field=place)
        if (target.kind, target.priority) in known:
            message = "There is one target for each kind and priority; this is the second."
            raise InvalidInputError(message, rule="sla_policy.target_twice", field=("targets", str(index)))
        known.add((target.kind, target.priority))


def _fields(policy: SlaPolicy) -> Mapping[str, object]:
    said, calendar = policy.published, policy.published.calendar
    return {
        "name": said.name,
        "version": policy.version,
        "queues": [Ref(type="Queue", id=one) for one in policy.queue_ids],
        "targets": [
            {"kind": one.kind.value, "priority": one.priority.value, "seconds": one.seconds} for one in said.targets
        ],
        "calendar": {
            "timeZone": calendar.time_zone,
            "holidays": calendar.holidays,
            "closedOn": [day.isoformat() for day in calendar.closed_on],
        },
        "pausedBy": [reason.value for reason in said.paused_by],
    }


SLA_POLICY: Aggregate[SlaPolicy, SlaPolicyEvent] = Aggregate(
    name="sla_policy",
    events=(SlaPolicyPublished,),
    evolve=evolve,
    fields=_fields,
    subjects=no_subject,
)
