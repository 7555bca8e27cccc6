"""Taking back what one command, import or merge did: at once where it is little, else as a job."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, Versioned, mutation
from crm_es.api.references import absent
from crm_es.api.rules import PARENT, SIGNED_IN, ruled
from crm_es.context import Info
from crm_es.errors import InvalidInputError, NotAllowedError, NotFoundError, RuleViolatedError
from crm_es.eventstore.store import Outcome
from crm_es.projector.contract import Column, Index, Table
from crm_es.reads import records
from crm_es.reads.declare import column, computed, read_type
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import LOG, Condition, Query, Source
from crm_es.reverting import runs, work
from crm_es.reverting.plan import Why, words
from crm_es.reverting.target import Target, TargetKind, Touched, touched
from crm_es.values import parse_text
from crm_es.workspaces import audit, export_mutations
from crm_es.workspaces.audit import Actor, Event, actor
from crm_es.workspaces.export_graphql import Export
from crm_es.workspaces.jobs import Import, Job, JobProgress, JobStatus
from projections import READ_MODELS

AT_ONCE: Final = 1_000
"""Events; more are a job."""
REASON_LENGTH: Final = 10_000
MOST_SHOWN: Final = 1_000
SHOWS: Final = tuple(model.NAME for model in READ_MODELS)
Place = tuple[UUID, int]

REVERT_RUN: Final = Table(
    name="revert_run",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="dry_run", type="boolean"),
        Column(name="actor_kind", type="text"),
        Column(name="actor_id", type="uuid", null=True),
        Column(name="actor_auth", type="text", null=True),
        Column(name="status", type="text"),
        Column(name="done", type="integer"),
        Column(name="total", type="integer", null=True),
        Column(name="undone", type="integer"),
        Column(name="skipped", type="integer"),
        Column(name="error", type="text", null=True),
        Column(name="requested_at", type="timestamptz"),
        Column(name="finished_at", type="timestamptz", null=True),
    ),
    versioned=False,
    indexes=(Index(name="waiting", columns=("requested_at",)),),
)
"""What is read of the rows of reverts; migrations make the table."""
_SKIPS: Final = SQL("""
SELECT s.stream_id, s.version, s.by_stream_id, s.by_version, s.why
FROM es.revert_skip s
WHERE s.workspace_id = {workspace} AND s.run_id = {run}
ORDER BY s.stream_id, s.version
LIMIT {most}
""")


# -- what is shown


@ruled(PARENT)
@strawberry.type(description="An event that stays, and why.")
class SkippedRevert:
    event: Event = strawberry.field(description="What was not taken back.")
    blocked_by: Event | None = strawberry.field(description="The later event that stands in the way.")
    message: str = strawberry.field(description="Why, in words.")


def _mine(query: Query, alias: Any) -> Composable:
    """One's own jobs; all of them for who may audit."""
    if query.viewer.audits(EntityType.CONTACT):
        return SQL("true")
    return SQL("{} = {}").format(Identifier(alias, "actor_id"), query.bind(query.viewer.member_id, "uuid"))


def _id(id_: UUID) -> str:
    return ids.encode("Revert", id_)


def _progress(done: int, total: int | None, skipped: int) -> JobProgress:
    return JobProgress(done=done, total=total, rejected=skipped)


def _who(moment: Moment, kind: str, id_: UUID | None, auth: str | None) -> Actor:
    return actor(moment.reads.present, kind, id_, None, auth)


async def _skips(
    self: Any,
    info: Info,
    first: Annotated[int, strawberry.argument(description="So many, at most 1,000.")] = 100,
) -> list[SkippedRevert]:
    if not 0 <= first <= MOST_SHOWN:
        message = f"Ask for 0 to {MOST_SHOWN} of them."
        raise InvalidInputError(message, rule="page.size", field=("first",))
    moment = info.context.reads.present
    query = moment.query()
    statement = _SKIPS.format(
        workspace=query.bind(moment.viewer.workspace, "uuid"), run=query.bind(records.raw(self, "id"), "uuid"),
        most=query.bind(first, "int"),
    )  # fmt: skip
    rows = await moment.rows(query, statement)
    return await _skipped(moment, [((s, v), (t, w) if t else None, why) for s, v, t, w, why in rows])


@read_type(Source(LOG, REVERT_RUN), hidden=_mine)
class Revert(Job):
    """Much that is being taken back: by whoever asked for it, and for who may audit."""

    id: ID = column("id", "Its global id; the same at any moment.", render=_id)
    status: JobStatus = column("status", "How far it is.", render=JobStatus)
    progress: JobProgress = computed(
        _progress,
        ("done", "total", "skipped"),
        "How many records are dealt with; rejected: events that stay.",
        nulls=True,
    )
    requested_by: Actor = computed(_who, ("actor_kind", "actor_id", "actor_auth"), "Who asked for it.", contextual=True)
    requested_at: datetime = column("requested_at", "When.")
    finished_at: datetime | None = column("finished_at", "When it ended.")
    error: str | None = column("error", "Why it failed.")
    dry_run: bool = column("dry_run", "Nothing is recorded.")
    command_id: UUID = column("id", "Of the request; the events' `correlationId`.")
    reverted: int = column("undone", "How many events were taken back so far.")
    skipped: list[SkippedRevert] = strawberry.field(
        resolver=_skips, description="What it left.", metadata={"rule": PARENT}
    )


# -- asking for it


@strawberry.input(one_of=True, description="What to take back.")
class RevertTarget:
    command_id: UUID | None = strawberry.field(
        default=strawberry.UNSET,
        description="All that this command did, those of its rows too; an import by its commandId.",
    )
    correlation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET, description="All that has this correlation id."
    )


@strawberry.input(description="What one command, import or merge did, to be taken back.")
class RevertCommandInput(Envelope):
    target: RevertTarget = strawberry.field(description="Of what.")
    dry_run: bool = strawberry.field(default=False, description="Only say what would be done.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")


async def _reverted(self: "RevertCommandPayload", info: Info) -> list[Event] | None:
    if self.note is None:
        return None
    found = await _events(info.context.reads.present, _places(self.note["undone"]))
    return list(found.values())


async def _left(self: "RevertCommandPayload", info: Info) -> list[SkippedRevert] | None:
    if self.note is None:
        return None
    said = [(_place(event), by and _place(by), why) for event, by, why in self.note["skipped"]]
    return await _skipped(info.context.reads.present, said)


async def _job(self: "RevertCommandPayload", info: Info) -> Revert | None:
    found: Revert | None = None
    if self.job_id is not None:
        found = await records.load(info.context.reads.present, read_of(Revert), self.job_id)
    return found


@ruled(PARENT)
@strawberry.type(description="What was taken back, and what was left as it is. Of a job, `job` tells that.")
class RevertCommandPayload(Payload):
    note: strawberry.Private[Mapping[str, Any] | None] = None
    job_id: strawberry.Private[UUID | None] = None
    reverted: list[Event] | None = strawberry.field(resolver=_reverted, description="The events that were taken back.")
    skipped: list[SkippedRevert] | None = strawberry.field(resolver=_left, description="Those that stay.")
    job: Revert | None = strawberry.field(resolver=_job, description="The job, of more than 1,000 events.")


@strawberry.input(description="A job to stop.")
class CancelJobInput(Versioned):
    id: ID = strawberry.field(description="The job.")


async def _cancelled(self: "CancelJobPayload", info: Info) -> Job | None:
    found: Job | None = None
    if not self.user_errors:
        found = await records.load(info.context.reads.present, read_of(self.kind), self.ids[0])
    return found


@ruled(PARENT)
@strawberry.type(description="The job that was stopped; what it did stays.")
class CancelJobPayload(Payload):
    kind: strawberry.Private[type[Job]] = Revert
    job: Job | None = strawberry.field(resolver=_cancelled, description="The job; null when refused.")


@strawberry.type
class RevertMutations:
    @mutation(
        RevertCommandPayload, SIGNED_IN, shows=SHOWS,
        description="Compensates what one command, import or merge did and nobody changed since; lists what it skipped. "
        "One's own commands, or with ADMINISTER. More than 1,000 events are taken back by a job.",
    )  # fmt: skip
    async def revert_command(deed: Deed, input: RevertCommandInput) -> Answer:
        parse_text(input.reason, ("reason",), longest=REASON_LENGTH)
        _check_writes(deed)
        target = _target(input.target)
        if (seen := await deed.store.seen(deed.command)) is not None:
            return await _again(deed, target, seen)
        return await _revert(deed, target, dry_run=input.dry_run)

    @mutation(
        CancelJobPayload, SIGNED_IN, shows=export_mutations.SHOWS,
        description="Stop a job of your own, or with ADMINISTER any; what it did stays.",
    )  # fmt: skip
    async def cancel_job(deed: Deed, input: CancelJobInput) -> Outcome | Answer:
        if ids.decode(input.id, ("id",)).type == "Export":
            outcome = await export_mutations.cancel(deed, deed.live(input.id, "Export"))
            return Answer(outcome, {"kind": Export})
        return await _cancel(deed, input.id)


def _check_writes(deed: Deed) -> None:
    """Raises: NotAllowedError, for who may record nothing at all."""
    if not deed.context.permissions.write:
        raise NotAllowedError("Your roles let you read and nothing else.")


def _target(given: RevertTarget) -> Target:
    """Raises: InvalidInputError."""
    said = [(TargetKind.COMMAND, given.command_id), (TargetKind.CORRELATION, given.correlation_id)]
    found = [Target(kind, id_) for kind, id_ in said if isinstance(id_, UUID)]
    if len(found) != 1:
        message = "Name a commandId or a correlationId: one of them."
        raise InvalidInputError(message, rule="revert.target", field=("target",))
    return found[0]


async def _revert(deed: Deed, target: Target, *, dry_run: bool) -> Answer:
    """Raises: NotFoundError, NotAllowedError."""
    await deed.context.shown()
    upto = (await deed.context.reads.bookmarks())[audit.TRAIL.model].position
    await deed.context.close()
    async with runs.connected(_url(deed), deed.command.workspace) as connection:
        streams = await touched(connection, deed.command.workspace, target, upto)
        if not streams:
            raise NotFoundError("Nothing was recorded under this id.", rule="revert.nothing", field=("target",))
        _check_allowed(deed, streams)
        if sum(len(each.versions) for each in streams) > AT_ONCE:
            outcome = await deed.store.create_many(deed.command, [], refusals=[{"job": upto, "dryRun": dry_run}])
            await runs.begin(connection, runs.Run.of(deed.command, target, upto, dry_run=dry_run))
            return Answer(outcome, {"job_id": deed.command.command_id})
        if dry_run:
            _, found = await work.plan(deed.store, deed.command.workspace, streams)
            return Answer(Outcome(position=None, log_id=None), {"note": found.noted()})
        promised = connection, deed.command.workspace, deed.command.command_id, target.id
        await runs.promise(*promised)
        outcome = await work.revert(deed.store, replace(deed.command, causation_id=target.id), streams)
        note = outcome.refusals[0]
        await runs.keep(*promised, note)
    return Answer(outcome, {"note": note})


async def _again(deed: Deed, target: Target, seen: Outcome) -> Answer:
    """A lost answer, told again; what its process may not have come to is done."""
    note = seen.refusals[0]
    async with runs.connected(_url(deed), deed.command.workspace) as connection:
        if "job" in note:
            run = runs.Run.of(deed.command, target, note["job"], dry_run=note["dryRun"])
            await runs.begin(connection, run)
            return Answer(seen, {"job_id": run.id})
        await runs.keep(connection, deed.command.workspace, deed.command.command_id, target.id, note)
    return Answer(seen, {"note": note})


def _url(deed: Deed) -> str:
    url: str = deed.store.recorder.datastore.url
    return url


def _check_allowed(deed: Deed, streams: Sequence[Touched]) -> None:
    """Raises: NotAllowedError."""
    permissions, actor = deed.context.permissions, deed.context.identity.actor
    if permissions.scope(EntityType.MEMBER, Action.ADMINISTER) is not None:
        return
    if any(each.actors != {(actor.kind, actor.id)} for each in streams):
        raise NotAllowedError("Others' commands are taken back with the permission ADMINISTER.", field=("target",))
    for name in {each.aggregate.upper() for each in streams}:
        known = name in EntityType.__members__
        if not known or permissions.scope(EntityType[name], Action.UPDATE) is not Scope.WORKSPACE:
            message = f"This takes the permission to update every {name.lower()} of the workspace."
            raise NotAllowedError(message, field=("target",))


async def _cancel(deed: Deed, id_: str) -> Outcome:
    """Raises: NotFoundError, RuleViolatedError."""
    _check_writes(deed)
    run = deed.live(id_, "Revert", "Import")
    cls = Import if ids.decode(id_).type == "Import" else Revert
    found = await records.load(deed.context.reads.present, read_of(cls), run)
    if found is None:
        raise absent("job", ("id",))
    if cls is Import:
        message = "An import is stopped where it runs, with Ctrl-C."
        raise RuleViolatedError(message, rule="job.not_here", field=("id",))
    mine = records.raw(found, "actor_id") == deed.context.identity.actor.id
    if not mine and deed.context.permissions.scope(EntityType.MEMBER, Action.ADMINISTER) is None:
        raise NotAllowedError("This job is not yours.", field=("id",))
    async with runs.connected(_url(deed), deed.command.workspace) as connection:
        if not await runs.cancel(connection, deed.command.workspace, run):
            raise RuleViolatedError("This job has ended.", rule="job.ended", field=("id",))
    return Outcome(position=None, log_id=None, ids=(run,))


# -- events by their places


async def _skipped(moment: Moment, said: Sequence[tuple[Place, Place | None, str]]) -> list[SkippedRevert]:
    places = [place for event, by, _ in said for place in (event, by) if place is not None]
    events = await _events(moment, places)
    return [
        SkippedRevert(
            event=events[event], blocked_by=by and events.get(by),
            message=words(Why(why), records.raw(events[event], "entity_type")),
        )
        for event, by, why in said
        if event in events
    ]  # fmt: skip


async def _events(moment: Moment, places: Sequence[Place]) -> dict[Place, Any]:
    """In the order of the log."""
    found = await audit.select(moment, _at(places), most=len(places)) if places else []
    return {(records.raw(one, "stream_id"), records.raw(one, "version")): one for one in found}


def _at(places: Sequence[Place]) -> Condition:
    streams, versions = [stream for stream, _ in places], [version for _, version in places]
    return lambda query, alias: SQL(
        "({}, {}) IN (SELECT p.stream, p.version FROM unnest({}, {}) AS p (stream, version))"
    ).format(
        Identifier(alias, "stream_id"), Identifier(alias, "version"),
        query.bind(streams, "uuid[]"), query.bind(versions, "integer[]"),
    )  # fmt: skip


def _place(said: Sequence[Any]) -> Place:
    return UUID(said[0]), int(said[1])


def _places(said: Sequence[Sequence[Any]]) -> list[Place]:
    return [_place(one) for one in said]
