"""Where a deal may go and at which place of the column: what the decisions of `dealing.py` are told."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.enums import Action
from crm_es.api.payloads import Deed
from crm_es.api.references import absent, within_reach
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import Dated, Event
from crm_es.eventstore.store import Outcome
from crm_es.occasions import Occasion, dated
from crm_es.sales import dealing, ranks
from crm_es.sales.deal import DEAL, Deal
from crm_es.sales.graphql import Deal as DealType
from crm_es.sales.links import source
from crm_es.sales.pipeline import PIPELINE, Pipeline
from projections.pipelines import tables


def occasion(deed: Deed) -> Occasion:
    return Occasion.of(deed.command.occurred_at, deed.context.now)


async def done_before(deed: Deed, input: Any) -> Outcome | None:
    """The outcome of a command sent again: nothing that changed since may stand in its way."""
    return await deed.store.seen(deed.command) if input.command_id and not deed.command.fresh else None


async def named(deed: Deed, global_id: str, action: Action) -> tuple[UUID, Deal]:
    """The deal of an input, within the actor's reach. Raises: NotFoundError, NotAllowedError."""
    id_ = deed.live(global_id, "Deal")
    await within_reach(deed, action, DealType, {id_: ("id",)})
    read = deed.store.load if deed.context.shared is None else deed.store.recent
    loaded = await read(DEAL, deed.command.workspace, id_)
    if loaded is None:
        raise absent("deal", ("id",))
    return id_, loaded.state


async def pipeline_of(deed: Deed, id_: UUID, field: FieldPath) -> Pipeline:
    """Raises: NotFoundError."""
    loaded = await deed.context.once(id_, lambda: deed.store.load(PIPELINE, deed.command.workspace, id_))
    if loaded is None:
        raise absent("pipeline", field)
    found: Pipeline = loaded.state
    return found


async def landed(deed: Deed, id_: UUID, pipeline_id: UUID, done: Outcome) -> Outcome:
    """A stage that was retired while the deal was on its way there: it goes on to where that one's deals went.

    Not asked in imports, which look at a pipeline once: sending `changePipeline` again moves what they left there.
    """
    if done.log_id is None or done.replayed or deed.context.shared is not None:
        return done
    there = await deed.store.load(PIPELINE, deed.command.workspace, pipeline_id)
    gone = {stage.id: target for stage, target in there.state.retired} if there else {}
    return await _go_on(deed, id_, gone, done) if gone else done


async def _go_on(deed: Deed, id_: UUID, gone: Mapping[UUID, UUID], done: Outcome) -> Outcome:
    step = uuid5(deed.command.command_id, "retired")
    command = replace(
        deed.command, command_id=step, causation_id=deed.command.command_id, occurred_at=None, reason=None
    )
    on = Occasion(deed.context.now, said=False)

    def decide(was: Deal) -> list[Event | Dated]:
        target = was.stage_id
        while target in gone:
            target = gone[target]
        if target == was.stage_id:
            return []
        return dated(dealing.leave_retired(was, stage_id=was.stage_id, to_stage_id=target, on=on))

    moved = await deed.store.decide(command, DEAL, id_, decide)
    return done if moved.log_id is None else replace(done, position=moved.position, log_id=moved.log_id)


async def on_top(deed: Deed, id_: UUID, stage_id: UUID) -> str:
    """The first place of a column."""
    first = await deed.context.once(stage_id, lambda: _next(deed, id_, stage_id))
    return ranks.on_top(deed.context.now, id_, first)


async def rank(deed: Deed, id_: UUID, stage_id: UUID, *, after: Any, before: Any) -> str:
    """The place between its new neighbours, as far as they are named; on top where none is.

    Where the two stand the other way round by now, what it comes after decides. Raises: NotFoundError, InvalidInputError
    `deal.not_in_column`.
    """
    above = await _neighbour(deed, id_, stage_id, after, "afterDealId")
    below = await _neighbour(deed, id_, stage_id, before, "beforeDealId")
    if above is None and below is None:
        return await on_top(deed, id_, stage_id)
    if above is not None and (below is None or below <= above):
        below = await _next(deed, id_, stage_id, behind=above)
    elif above is None:
        above = await _next(deed, id_, stage_id, ahead=below)
    return ranks.between(above, below, id_)


async def _neighbour(deed: Deed, id_: UUID, stage_id: UUID, given: Any, field: str) -> str | None:
    if given is strawberry.UNSET or given is None:
        return None
    other = deed.live(given, "Deal", field=field)
    await within_reach(deed, Action.READ, DealType, {other: (field,)})
    loaded = await deed.store.load(DEAL, deed.command.workspace, other)
    if loaded is None:
        raise absent("deal", (field,))
    if other == id_ or loaded.state.stage_id != stage_id:
        message = "This deal is no other one of that column: look at the board again."
        raise InvalidInputError(message, rule="deal.not_in_column", field=(field,))
    found: str = loaded.state.rank
    return found


async def _next(
    deed: Deed, id_: UUID, stage_id: UUID, *, behind: str | None = None, ahead: str | None = None
) -> str | None:
    """The place next to one, below it (`behind`) or above (`ahead`); without one the column's first. Its own does not count."""
    moment = deed.context.reads.present
    query = moment.query()
    table, where = query.rows_of(source(tables.DEAL), "r")
    where += [
        SQL("r.stage_id = {}").format(query.bind(stage_id, "uuid")),
        SQL("r.id <> {}").format(query.bind(id_, "uuid")),
    ]
    place = Identifier("r", "rank")
    if behind is not None:
        where.append(SQL("{} > {}").format(place, query.bind(behind, "text")))
    if ahead is not None:
        where.append(SQL("{} < {}").format(place, query.bind(ahead, "text")))
    direction = SQL("ASC" if ahead is None else "DESC")
    statement: Composable = SQL("SELECT r.rank FROM {} WHERE {} ORDER BY r.rank {} LIMIT 1").format(
        table, SQL(" AND ").join(where), direction
    )
    rows = await moment.rows(query, statement)
    return rows[0][0] if rows else None
