"""Exports as the API shows them, to who may audit. Making bundles is `exports/`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType, describe
from crm_es.api.rules import PARENT
from crm_es.api.scalars import JSON, Position
from crm_es.context import Info
from crm_es.eventstore.event import Actor as Doer
from crm_es.projector.contract import Column, Table
from crm_es.reads import records
from crm_es.reads.connections import connection_type
from crm_es.reads.declare import batched, column, computed, id_of, read_type
from crm_es.reads.session import Moment
from crm_es.reads.sql import LOG, Source
from crm_es.workspaces import export_tickets
from crm_es.workspaces.audit import Actor, actor
from crm_es.workspaces.export import ExportScope
from crm_es.workspaces.jobs import Job, JobProgress, JobStatus
from projections import exports

describe(
    ExportScope,
    "What an export holds whole. WORKSPACE and RANGE hold the personal data of many.",
    WORKSPACE="All events.", RANGE="All events of some positions.", STREAM="All events of one record.",
    SUBJECT="All records that are about one contact.",
)  # fmt: skip
PROGRESS: Final = Source(
    LOG,
    Table(
        name="export_progress",
        columns=(
            Column(name="id", type="uuid"),
            Column(name="done", type="bigint"),
            Column(name="waits_for", type="text", null=True),
        ),
        versioned=False,
    ),
)
"""Of those whose bundle is being made; a migration makes the table."""


def _id(id_: UUID) -> str:
    return ids.encode("Export", id_)


def _who(moment: Moment, *who: Any) -> Actor:
    return actor(moment.reads.present, *who)


def _decider(moment: Moment, kind: str | None, *who: Any) -> Actor | None:
    return None if kind is None else actor(moment.reads.present, kind, *who)


async def _begun(found: Sequence[Any]) -> dict[UUID, tuple[int, str | None]]:
    """How far those are that are being made, and what they wait for."""
    moment = records.moment_of(found[0])
    query = moment.query()
    wanted = query.bind([records.raw(each, "id") for each in found], "uuid[]")
    statement = query.select(
        PROGRESS, "t", ("id", "done", "waits_for"), lambda: [SQL("{} = ANY ({})").format(Identifier("t", "id"), wanted)]
    )
    return {id_: (done, waits_for) for id_, done, waits_for in await moment.rows(query, statement)}


async def _statuses(_reads: Any, found: Sequence[Any], _given: Mapping[str, Any]) -> list[JobStatus]:
    begun = await _begun(found)
    said = [(records.raw(each, "id"), JobStatus(records.raw(each, "status"))) for each in found]
    return [JobStatus.RUNNING if status is JobStatus.QUEUED and id_ in begun else status for id_, status in said]


async def _progresses(_reads: Any, found: Sequence[Any], _given: Mapping[str, Any]) -> list[JobProgress]:
    begun = await _begun(found)
    return [
        JobProgress(done=begun.get(records.raw(each, "id"), (0, None))[0], total=None, rejected=0)
        if (events := records.raw(each, "events")) is None
        else JobProgress(done=events, total=events, rejected=0)
        for each in found
    ]


async def _errors(_reads: Any, found: Sequence[Any], _given: Mapping[str, Any]) -> list[str | None]:
    """What is still noted of one that has ended is no longer so."""
    begun = await _begun(found)
    waits = {id_: waits_for for id_, (_, waits_for) in begun.items()}
    return [
        waits.get(records.raw(each, "id"))
        if records.raw(each, "status") == JobStatus.QUEUED
        else records.raw(each, "error")
        for each in found
    ]


async def _download(self: Any, info: Info) -> str | None:
    context = info.context
    until, id_ = records.raw(self, "expires_at"), records.raw(self, "id")
    there = records.raw(self, "status") == JobStatus.DONE and until is not None and until > context.now
    if not there or context.permissions.scope(EntityType.EXPORT, Action.AUDIT) is None:
        return None
    if not export_tickets.folder(context.engine.settings, context.workspace, id_).is_dir():
        return None  # its signature is waited for
    by = context.identity.actor
    ticket = export_tickets.Ticket(
        context.workspace, id_, Doer(kind=by.kind, id=by.id), datetime.now(UTC) + export_tickets.LASTING
    )
    return export_tickets.url(context.engine.keys, ticket)


@read_type(Source(exports.NAME, exports.EXPORT), entity=EntityType.EXPORT)
class Export(Job):
    """A bundle for somebody outside: asked for, allowed by somebody else where it holds the data of many, made, fetched, gone."""

    id: ID = column("id", "Its global id; the same at any moment.", render=_id)
    status: JobStatus = batched(_statuses, JobStatus, "How far it is.", columns=("id", "status"))
    progress: JobProgress = batched(
        _progresses, JobProgress, "How many events and rows of views are written; once done, events.",
        columns=("id", "events"),
    )  # fmt: skip
    requested_by: Actor = computed(
        _who, ("actor_kind", "actor_id", "actor_for", "actor_auth"), "Who asked for it.", contextual=True
    )
    requested_at: datetime = column("requested_at", "When.")
    finished_at: datetime | None = column("finished_at", "When it ended.")
    error: str | None = batched(
        _errors, str | None, "Why it failed; while it is being made, what it waits for.",
        columns=("id", "status", "error"),
    )  # fmt: skip
    purpose: str = column("purpose", "What it is for.")
    scope: ExportScope = column("scope", "What it holds whole, and proves complete.", render=ExportScope)
    contact_id: ID | None = id_of("contact_id", "Contact", "The contact it is about; of SUBJECT alone.")
    stream_id: UUID | None = column("stream_id", "The record it is of, as its events name it; of STREAM alone.")
    first_position: Position | None = column("first", "Its first position; of RANGE, from the start if null.")
    last_position: Position | None = column("last", "Its last position; of RANGE, to its end if null.")
    filter: JSON | None = column(
        "filter", "The `EventFilter` that narrows its views, as a variable.", render=json.loads
    )
    as_of: Position | None = column("upto", "The position as of which it was asked for; null: when it is made.")
    at: Position | None = column("at", "The position it shows, once it is made.")
    decided_by: Actor | None = computed(
        _decider, ("decider_kind", "decider_id", "decider_for", "decider_auth"), "Who allowed it, or did not.",
        contextual=True, nulls=True,
    )  # fmt: skip
    download_url: str | None = strawberry.field(
        resolver=_download, metadata={"rule": PARENT},
        description="A path on this server. Good for five minutes; each use is logged.",
    )  # fmt: skip
    expires_at: datetime | None = column("expires_at", "When the files are deleted.")


ExportConnection = connection_type(Export)
