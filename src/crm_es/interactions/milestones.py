"""What became of deals and tickets, as timelines show it between interactions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api.nodes import Entity, Money
from crm_es.interactions.timeline import TimelineItem
from crm_es.reads import records
from crm_es.reads.declare import Source, column, computed, either, id_of, read_type
from crm_es.reads.model import ReadType, Target, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import TRUE, Query
from crm_es.sales import graphql as sales_graphql
from crm_es.sales.sums import amount_of
from crm_es.service import ticket_graphql
from crm_es.workspaces import audit
from projections import milestones

_KINDS: Final[Mapping[str, Target]] = {"DEAL": lambda: sales_graphql.Deal, "TICKET": lambda: ticket_graphql.Ticket}
"""What milestones are about, by the entity type in their rows."""


def _shown(query: Query, alias: LiteralString) -> Composable:
    """Those of the deals and tickets that the viewer may see, wherever they stand."""
    kinds = {name: read_of(target()) for name, target in _KINDS.items()}
    if not any(records.visible(read, query.viewer) for read in kinds.values()):
        return TRUE
    either = [
        SQL("({} AND {})").format(records.equal("entity_type", kind)(query, alias), _record_shown(query, alias, read))
        for kind, read in kinds.items()
    ]
    return SQL("({})").format(SQL(" OR ").join(either))


def _record_shown(query: Query, alias: LiteralString, read: ReadType) -> Composable:
    conditions = records.visible(read, query.viewer)
    if not conditions:
        return TRUE
    return query.exists(
        read.source,
        lambda row: [
            SQL("{} = {}").format(Identifier(row, "id"), Identifier(alias, "entity_id")),
            *(condition(query, row) for condition in conditions),
        ],
    )


def _amount(moment: Moment, minor: int, currency: str) -> Money | None:
    return None if "amount" in moment.reads.masked("DEAL") else amount_of(minor, currency)


def _actor(moment: Moment, kind: str, id_: UUID | None, behalf: UUID | None, auth: str | None) -> audit.Actor:
    return audit.actor(moment, kind, id_, behalf, auth)


SOURCE: Final = Source(milestones.NAME, milestones.MILESTONE)


@read_type(SOURCE, hidden=_shown)
class Milestone(TimelineItem):
    """A turn that a deal or a ticket took: opened, moved on, won or lost, resolved, reopened and the like."""

    id: ID = id_of("id", "Milestone", "Its own under asOf.", maskable=False)
    occurred_at: datetime = column("occurred_at", "When it happened in the world.")
    kind: str = column("kind", "The topic of the event it was, as `deal.won`.")
    entity: Entity | None = either("entity_type", "entity_id", _KINDS, Entity, "The deal or ticket it happened to.")
    amount: Money | None = computed(
        _amount, ("amount_minor", "amount_currency"), "What the deal was worth then; null also where amounts are masked.",
        contextual=True,
    )  # fmt: skip
    actor: audit.Actor = computed(
        _actor, ("actor_kind", "actor_id", "on_behalf_of", "authenticated_by"), "Who caused it.", contextual=True
    )
