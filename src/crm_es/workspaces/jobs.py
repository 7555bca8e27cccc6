"""Long work as the API shows it: what every job has, and imports, whose rows stand beside the log (`imports/runs.py`)."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import ActorKind, EntityType, describe
from crm_es.api.nodes import Node
from crm_es.api.rules import PARENT, ruled
from crm_es.projector.contract import Column, Index, Table
from crm_es.reads import records
from crm_es.reads.connections import connection_type
from crm_es.reads.declare import column, computed, read_type
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, LOG, Source
from crm_es.workspaces.audit import Actor, actor

IMPORT_RUN: Final = Table(
    name="import_run",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="file_name", type="text"),
        Column(name="status", type="text"),
        Column(name="rows", type="bigint"),
        Column(name="rejected", type="bigint"),
        Column(name="started_at", type="timestamptz"),
        Column(name="finished_at", type="timestamptz", null=True),
    ),
    versioned=False,
    indexes=(Index(name="started_at", columns=("started_at",)),),
)
"""What is read of the rows of imports; migrations make the table."""


class JobStatus(StrEnum):
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"


describe(
    JobStatus,
    "How far a job is.",
    AWAITING_APPROVAL="Somebody else must allow it first.",
    QUEUED="Not begun.",
    RUNNING="At work, or stopped by an accident and about to go on.",
    DONE="All done.",
    FAILED="Ended early: `error` says why.",
    CANCELLED="Stopped by somebody; what was done stays.",
    DENIED="Not allowed.",
    EXPIRED="What it made is there no longer.",
)


@ruled(PARENT)
@strawberry.type(description="How much of a job is done.")
class JobProgress:
    done: int = strawberry.field(description="So many rows, or records.")
    total: int | None = strawberry.field(description="Of so many, once that is known.")
    rejected: int = strawberry.field(description="So many of those done were refused.")


@ruled(PARENT)
@strawberry.interface(description="Long work. Watch it with the subscription `changes(ids:)`.")
class Job(Node):
    status: JobStatus = strawberry.field(description="How far it is.")
    progress: JobProgress = strawberry.field(description="How much of it is done.")
    requested_by: Actor = strawberry.field(description="Who asked for it.")
    requested_at: datetime = strawberry.field(description="When.")
    finished_at: datetime | None = strawberry.field(description="When it ended.")
    error: str | None = strawberry.field(description="Why it failed.")


def _progress(status: str, rows: int, rejected: int) -> JobProgress:
    return JobProgress(done=rows, total=rows if status == JobStatus.DONE else None, rejected=rejected)


def _id(id_: UUID) -> str:
    return ids.encode("Import", id_)


def _at_the_machine(moment: Moment, _id: UUID) -> Actor:
    return actor(moment, ActorKind.SYSTEM, None, None, "local")


@read_type(Source(LOG, IMPORT_RUN), entity=EntityType.IMPORT)
class Import(Job):
    """A file taken in: one run of one mapping."""

    id: ID = column("id", "Its global id; the same at any moment.", render=_id)
    status: JobStatus = column("status", "How far it is.", render=JobStatus)
    progress: JobProgress = computed(_progress, ("status", "rows", "rejected"), "How many rows of the file are done.")
    requested_by: Actor = computed(_at_the_machine, ("id",), "Whoever ran it at the machine.", contextual=True)
    requested_at: datetime = column("started_at", "When it began.")
    finished_at: datetime | None = column("finished_at", "When it ended.")
    error: str | None = computed(lambda _id: None, ("id",), "Refusals are in the report beside the file.")
    file_name: str = column("file_name", "The file, without its folder.")
    dry_run: bool = computed(lambda _id: False, ("id",), "Rehearsals are not kept.")
    command_id: UUID | None = column("id", "What `revertCommand` and the events' `correlationId` know it by.")
    report_url: str | None = computed(lambda _id: None, ("id",), "Where the refused rows are listed.")


ImportConnection = connection_type(Import)


async def import_of(moment: Moment, id_: UUID) -> Any | None:
    """For who may read a record: the import that a value of it came from, whatever else of imports may be read."""
    read, query = read_of(Import), moment.query()
    table, where = query.rows_of(read.source, "t")
    where.append(SQL("{} = {}").format(Identifier("t", "id"), query.bind(id_, "uuid")))
    columns = SQL(", ").join(Identifier("t", name) for name in read.columns)
    rows = await moment.rows(query, SQL("SELECT {} FROM {} WHERE {}").format(columns, table, AND.join(where)))
    return records.made(read, rows[0], moment) if rows else None
