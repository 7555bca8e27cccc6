"""What was asked to be sent out, by whom and why, who allowed it, and what became of it."""

from collections.abc import Sequence
from typing import Any, Final, assert_never

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch, Column, Index, Table
from crm_es.workspaces import export

NAME = "exports"
VERSION = 2


EXPORT: Final = Table(
    name="export",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="status", type="text"),
        Column(name="purpose", type="text"),
        Column(name="scope", type="text"),
        Column(name="contact_id", type="uuid", null=True),
        Column(name="stream_id", type="uuid", null=True),
        Column(name="first", type="bigint", null=True),
        Column(name="last", type="bigint", null=True),
        Column(name="filter", type="text", null=True),
        Column(name="upto", type="bigint", null=True),
        Column(name="at", type="bigint", null=True),
        Column(name="events", type="bigint", null=True),
        Column(name="actor_kind", type="text"),
        Column(name="actor_id", type="uuid", null=True),
        Column(name="actor_for", type="uuid", null=True),
        Column(name="actor_auth", type="text", null=True),
        Column(name="decider_kind", type="text", null=True),
        Column(name="decider_id", type="uuid", null=True),
        Column(name="decider_for", type="uuid", null=True),
        Column(name="decider_auth", type="text", null=True),
        Column(name="requested_at", type="timestamptz"),
        Column(name="finished_at", type="timestamptz", null=True),
        Column(name="expires_at", type="timestamptz", null=True),
        Column(name="error", type="text", null=True),
    ),
    versioned=False,
    indexes=(
        Index(name="requested_at", columns=("requested_at",), order=True),
        Index(name="status", columns=("status", "requested_at")),
    ),
)
TABLES: tuple[Table, ...] = (EXPORT,)
TOPICS = frozenset(e.TOPIC for e in export.ExportEvent.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        values = {"version": fact.version, **_values(fact)}
        if fact.version == 1:
            batch.insert(EXPORT, fact, id=fact.stream, **values)
        else:
            batch.update(EXPORT, fact, {"id": fact.stream}, **values)


def _values(fact: Fact) -> dict[str, Any]:  # noqa: PLR0911  # one of each event
    event: export.ExportEvent = fact.event  # type: ignore[assignment]
    ended = {"finished_at": fact.recorded_at}
    match event:
        case export.ExportRequested():
            return {**_asked(event), "requested_at": fact.recorded_at, **_named(fact, "actor")}
        case export.ExportApproved():
            return {"status": "QUEUED", **_named(fact, "decider")}
        case export.ExportDenied():
            return {"status": "DENIED", **ended, **_named(fact, "decider")}
        case export.ExportCompleted(position=at, events=events, expires_at=until):
            return {"status": "DONE", "at": at, "events": events, "expires_at": until, **ended}
        case export.ExportFailed(error=error):
            return {"status": "FAILED", "error": error, **ended}
        case export.ExportCancelled():
            return {"status": "CANCELLED", **ended}
        case export.ExportExpired():
            return {"status": "EXPIRED"}
        case export.ExportDownloaded():
            return {}
        case _:
            assert_never(event)


def _asked(event: export.ExportRequested) -> dict[str, Any]:
    return {
        "status": "AWAITING_APPROVAL" if event.needs_approval else "QUEUED",
        "purpose": event.purpose,
        "scope": event.scope.value,
        "contact_id": event.id if event.scope is export.ExportScope.SUBJECT else None,
        "stream_id": event.id if event.scope is export.ExportScope.STREAM else None,
        "first": event.first,
        "last": event.last,
        "filter": event.filter,
        "upto": event.upto,
    }


def _named(fact: Fact, part: str) -> dict[str, Any]:
    actor = fact.actor
    return {
        f"{part}_kind": actor.kind, f"{part}_id": actor.id, f"{part}_for": actor.on_behalf_of, f"{part}_auth": actor.auth
    }  # fmt: skip
