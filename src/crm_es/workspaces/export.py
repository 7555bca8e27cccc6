"""An export: a bundle for somebody outside, and the life of it: asked for, allowed, made, fetched, gone.

Its own log goes out with it as the custody of the bundle, so each step is an event. Making the files is `exports/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, assert_never, get_args
from uuid import UUID

from crm_es.errors import InvalidInputError, NotAllowedError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import changes


class ExportScope(StrEnum):
    """What completeness is proved for. WORKSPACE and RANGE hold the personal data of many."""

    WORKSPACE = "WORKSPACE"
    RANGE = "RANGE"
    STREAM = "STREAM"
    SUBJECT = "SUBJECT"


BULK: Final = frozenset({ExportScope.WORKSPACE, ExportScope.RANGE})


class ExportStatus(StrEnum):
    """As `JobStatus` of the API has it, but RUNNING, which nobody records."""

    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    QUEUED = "QUEUED"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequested:
    """`id` is the stream or the subject, `first` and `last` the positions of a range. `filter` is JSON as text and narrows the
    views alone. `upto` is the position asked for; without one, the newest."""

    TOPIC: ClassVar[str] = "export.requested"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)
    purpose: str = changes("purpose")
    scope: ExportScope
    id: UUID | None = None
    first: int | None = None
    last: int | None = None
    filter: str | None = None
    upto: int | None = None
    requester_id: UUID | None = None
    needs_approval: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportApproved:
    TOPIC: ClassVar[str] = "export.approved"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportDenied:
    TOPIC: ClassVar[str] = "export.denied"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportCompleted:
    """`manifest_sha256`, in hex, binds every file of the bundle. It shows the log up to `position`, proved by the tree of
    `tree_size`. `expires_at`: when its files are deleted; None where they were handed over at the machine."""

    TOPIC: ClassVar[str] = "export.completed"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)
    manifest_sha256: str
    position: int = changes("at")
    tree_size: int
    events: int
    expires_at: datetime | None = changes("expiresAt", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportDownloaded:
    """By the actor of the envelope: whoever was given the link."""

    TOPIC: ClassVar[str] = "export.downloaded"
    FIELDS: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportFailed:
    TOPIC: ClassVar[str] = "export.failed"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)
    error: str = changes("error")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportCancelled:
    TOPIC: ClassVar[str] = "export.cancelled"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportExpired:
    """Its files are deleted."""

    TOPIC: ClassVar[str] = "export.expired"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)


ExportEvent = (
    ExportRequested
    | ExportApproved
    | ExportDenied
    | ExportCompleted
    | ExportDownloaded
    | ExportFailed
    | ExportCancelled
    | ExportExpired
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """`asked` is the first event; None only in a history that lacks it."""

    asked: ExportRequested | None = None
    status: ExportStatus = ExportStatus.QUEUED
    position: int | None = None
    expires_at: datetime | None = None
    error: str | None = None


def evolve(export: Export | None, event: ExportEvent) -> Export:  # noqa: PLR0911  # one of each event
    """The state after one more event. Never raises on stored history."""
    export = export or Export()
    match event:
        case ExportRequested(needs_approval=waits):
            return Export(asked=event, status=ExportStatus.AWAITING_APPROVAL if waits else ExportStatus.QUEUED)
        case ExportApproved():
            return replace(export, status=ExportStatus.QUEUED)
        case ExportDenied():
            return replace(export, status=ExportStatus.DENIED)
        case ExportCompleted(position=position, expires_at=until):
            return replace(export, status=ExportStatus.DONE, position=position, expires_at=until)
        case ExportDownloaded():
            return export
        case ExportFailed(error=error):
            return replace(export, status=ExportStatus.FAILED, error=error)
        case ExportCancelled():
            return replace(export, status=ExportStatus.CANCELLED)
        case ExportExpired():
            return replace(export, status=ExportStatus.EXPIRED)
        case _:
            assert_never(event)


# -- decisions


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a bundle shall be of. `filter` is JSON as text."""

    scope: ExportScope = ExportScope.WORKSPACE
    id: UUID | None = None
    first: int | None = None
    last: int | None = None
    filter: str | None = None
    upto: int | None = None


def request(
    wanted: Wanted, *, purpose: str, reason: str | None, by: UUID | None, at_the_machine: bool = False
) -> list[ExportEvent]:
    """Somebody else must allow what holds the personal data of many, but to whoever has the machine anyway.

    Raises: InvalidInputError `export.no_reason`, `export.empty_range`.
    """
    if not (reason or "").strip():
        raise InvalidInputError("Say why: the log keeps it.", rule="export.no_reason", field=("reason",))
    if wanted.first is not None and wanted.last is not None and not 0 < wanted.first <= wanted.last:
        message = f"There are no positions from {wanted.first} to {wanted.last}."
        raise InvalidInputError(message, rule="export.empty_range", field=("filter", "position"))
    event = ExportRequested(
        purpose=purpose,
        scope=wanted.scope,
        id=wanted.id,
        first=wanted.first,
        last=wanted.last,
        filter=wanted.filter,
        upto=wanted.upto,
        requester_id=by,
        needs_approval=wanted.scope in BULK and not at_the_machine,
    )
    return [event]


def decide(export: Export, *, approve: bool, by: UUID | None) -> list[ExportEvent]:
    """Four eyes. Raises: RuleViolatedError `export.not_awaiting`; NotAllowedError `export.own`."""
    if export.status is not ExportStatus.AWAITING_APPROVAL:
        raise RuleViolatedError("This export awaits no approval.", rule="export.not_awaiting", field=("id",))
    if by is None or (export.asked and export.asked.requester_id == by):
        raise NotAllowedError("Somebody else must decide what you asked for.", rule="export.own", field=("id",))
    return [ExportApproved() if approve else ExportDenied()]


def complete(
    export: Export, *, manifest_sha256: str, position: int, tree_size: int, events: int, expires_at: datetime | None
) -> list[ExportEvent]:
    """Nothing where it says so already. Raises: RuleViolatedError `export.not_queued`."""
    if export.status is ExportStatus.DONE:
        return []
    _check_queued(export)
    event = ExportCompleted(
        manifest_sha256=manifest_sha256, position=position, tree_size=tree_size, events=events, expires_at=expires_at
    )
    return [event]


def fail(export: Export, *, error: str) -> list[ExportEvent]:
    """What was recorded as made may fail too, while its signature is waited for. Nothing where it ended otherwise meanwhile."""
    return [ExportFailed(error=error)] if export.status in {ExportStatus.QUEUED, ExportStatus.DONE} else []


def cancel(export: Export) -> list[ExportEvent]:
    """Raises: RuleViolatedError `job.ended`."""
    if export.status not in {ExportStatus.AWAITING_APPROVAL, ExportStatus.QUEUED}:
        raise RuleViolatedError("This job has ended.", rule="job.ended", field=("id",))
    return [ExportCancelled()]


def download(export: Export, *, now: datetime) -> list[ExportEvent]:
    """Raises: RuleViolatedError `export.not_there`."""
    if export.status is not ExportStatus.DONE or export.expires_at is None or export.expires_at <= now:
        raise RuleViolatedError("There is nothing to fetch, or no longer.", rule="export.not_there", field=("id",))
    return [ExportDownloaded()]


def expire(export: Export, *, now: datetime) -> list[ExportEvent]:
    """Nothing before its time, nor twice."""
    over = export.expires_at is not None and export.expires_at <= now
    return [ExportExpired()] if over and export.status is ExportStatus.DONE else []


def _check_queued(export: Export) -> None:
    if export.status is not ExportStatus.QUEUED:
        raise RuleViolatedError("This export is not to be made (any more).", rule="export.not_queued", field=("id",))


def _fields(export: Export) -> Mapping[str, object]:
    return {
        "purpose": export.asked.purpose if export.asked else None,
        "status": export.status.value,
        "at": None if export.position is None else str(export.position),
        "expiresAt": export.expires_at,
        "error": export.error,
    }


EXPORT: Final[Aggregate[Export, Any]] = Aggregate(
    name="export", events=get_args(ExportEvent), evolve=evolve, fields=_fields, subjects=no_subject
)
