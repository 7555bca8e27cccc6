"""A queue: an ordered set of waiting tickets, and how long its closed ones can be reopened. Nothing in it is personal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Reservation, values_set
from crm_es.values import ExternalId, joint_key

REOPEN_DAYS: Final = 30
MOST_DAYS: Final = 3_650
MOST_EXTERNAL_IDS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCreated:
    """`reopen_days` absent: 30. `auto_close_days` absent: resolved tickets are closed by hand alone."""

    TOPIC: ClassVar[str] = "queue.created"
    name: str
    reopen_days: int | UnsetType = UNSET
    auto_close_days: int | UnsetType | None = UNSET
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueChanged:
    TOPIC: ClassVar[str] = "queue.changed"
    name: str | UnsetType = UNSET
    reopen_days: int | UnsetType = UNSET
    auto_close_days: int | UnsetType | None = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueArchived:
    """No ticket enters it any more; those in it stay."""

    TOPIC: ClassVar[str] = "queue.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("archivedAt",)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRestored:
    TOPIC: ClassVar[str] = "queue.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("archivedAt",)


QueueEvent = QueueCreated | QueueChanged | QueueArchived | QueueRestored


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    name: str = ""
    reopen_days: int = REOPEN_DAYS
    auto_close_days: int | None = None
    external_ids: tuple[ExternalId, ...] = ()
    archived: bool = False


_PLAIN: Final = ("name", "reopen_days", "auto_close_days")


def evolve(queue: Queue | None, event: QueueEvent) -> Queue:
    """The state after one more event. Never raises on stored history."""
    was = queue or Queue()
    match event:
        case QueueCreated():
            return replace(was, **values_set(event, (*_PLAIN, "external_ids")))
        case QueueChanged():
            return replace(was, **values_set(event, _PLAIN))
        case QueueArchived():
            return replace(was, archived=True)
        case QueueRestored():
            return replace(was, archived=False)
        case _:
            assert_never(event)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueEdit:
    """What a form says. UNSET = unchanged, None = cleared."""

    name: str | UnsetType = UNSET
    reopen_days: int | UnsetType = UNSET
    auto_close_days: int | UnsetType | None = UNSET


def create(form: QueueEdit, external_ids: Sequence[ExternalId] = ()) -> list[QueueEvent]:
    """Raises: InvalidInputError `queue.nameless`, `queue.days_out_of_range`, `queue.too_many_externalids`."""
    if not form.name:
        raise InvalidInputError("A queue needs a name.", rule="queue.nameless", field=("name",))
    _check(form)
    if len(external_ids) > MOST_EXTERNAL_IDS:
        message = f"A queue has at most {MOST_EXTERNAL_IDS} external ids."
        raise InvalidInputError(message, rule="queue.too_many_externalids", field=("externalIds",))
    return [QueueCreated(**values_set(form, _PLAIN), external_ids=tuple(dict.fromkeys(external_ids)) or UNSET)]


def change(queue: Queue, form: QueueEdit) -> list[QueueEvent]:
    """None where it is so already. Raises: RuleViolatedError `queue.archived`; InvalidInputError as `create`."""
    check_open(queue)
    _check(form)
    changed = {name: value for name, value in values_set(form, _PLAIN).items() if value != getattr(queue, name)}
    return [QueueChanged(**changed)] if changed else []


def archive(queue: Queue) -> list[QueueEvent]:
    check_open(queue)
    return [QueueArchived()]


def restore(queue: Queue) -> list[QueueEvent]:
    if not queue.archived:
        raise RuleViolatedError("This queue is not archived.", rule="queue.not_archived")
    return [QueueRestored()]


def check_open(queue: Queue, field: tuple[str, ...] = ()) -> None:
    """Raises: RuleViolatedError `queue.archived`."""
    if queue.archived:
        raise RuleViolatedError("This queue is archived: restore it first.", rule="queue.archived", field=field)


def _check(form: QueueEdit) -> None:
    for field, days, least in (
        ("reopenDays", form.reopen_days, 0),
        ("autoCloseDays", form.auto_close_days, 1),
    ):
        if isinstance(days, int) and not least <= days <= MOST_DAYS:
            message = f"Write {least} to {MOST_DAYS} days."
            raise InvalidInputError(message, rule="queue.days_out_of_range", field=(field,))


def _reservations(stream: UUID, queue: Queue) -> frozenset[Reservation]:
    if queue.archived:
        return frozenset()
    keys = (joint_key("queue", one.system, one.value) for one in queue.external_ids)
    return frozenset(Reservation(kind="external_id", value=key, holder=stream) for key in keys)


def _fields(queue: Queue) -> Mapping[str, object]:
    return {
        "name": queue.name,
        "reopenDays": queue.reopen_days,
        "autoCloseDays": queue.auto_close_days,
        "externalIds": [{"system": one.system, "value": one.value} for one in queue.external_ids],
    }


QUEUE: Aggregate[Queue, QueueEvent] = Aggregate(
    name="queue",
    events=get_args(QueueEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"archivedAt": lambda queue: queue.archived},
    subjects=no_subject,
)
