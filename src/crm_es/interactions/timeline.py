"""What other rooms hang on interactions: the timeline of a record, and how much happened with a contact."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.nodes import Node
from crm_es.api.rules import PARENT, ruled
from crm_es.interactions.enums import InteractionType
from crm_es.reads import operands
from crm_es.reads.declare import Argument, Condition, Link, Source, connection
from crm_es.reads.filters import FilterField
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from projections import interactions

ACTIVITY: Final = Source(interactions.NAME, interactions.ACTIVITY)
LINKS: Final = Source(interactions.NAME, interactions.LINK)
OF_CONTACT: Final = Link(
    source=LINKS, parent="canonical_id", child="interaction_id",
    orders={"occurred_at": "occurred_at", "created_at": "created_at"},
)  # fmt: skip


@ruled(PARENT)
@strawberry.interface(description="Something on a timeline.")
class TimelineItem(Node):
    occurred_at: datetime = strawberry.field(description="When it happened in the world.")


def timeline(target: Callable[[], Any], via: str | Link) -> Any:
    """Of a record: interactions, newest first. Milestones join them with deals and tickets."""
    types = Argument(
        name="types", type=list[InteractionType] | None, description="Only these kinds of interaction.", where=_of_types
    )
    milestones = Argument(name="milestones", type=bool, default=True, description="With milestones between them.")
    return connection(
        target, via=via, name="TimelineConnection", node=lambda: TimelineItem, filter=False, order=False,
        arguments=(types, milestones), description="What happened, newest first.",
    )  # fmt: skip


def _of_types(types: Sequence[InteractionType]) -> Condition:
    def compile_(query: Query, alias: LiteralString) -> Composable:
        wanted = query.bind(types, "text[]", lambda many: [operands.stored(one) for one in many])
        return SQL("{} = ANY ({})").format(Identifier(alias, "type"), wanted)

    return compile_


def all_seen(moment: Moment, hidden: int) -> bool:
    """Whether the viewer may see all interactions of a contact that has so many that are not SHARED."""
    viewer = moment.viewer
    return viewer.scope("INTERACTION") == "WORKSPACE" and (not hidden or viewer.audits("INTERACTION"))


def seen_activity(asked: FilterField) -> FilterField:
    """A filter on activity, which says nothing of contacts whose activity the viewer may not see."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        found = asked.compile(query, alias, operand)
        if query.viewer.audits("INTERACTION"):
            return found
        return SQL("({} AND {} = 0)").format(found, Identifier(alias, "unshared_count"))

    return FilterField(asked.type, compile_, columns=(*asked.columns, "unshared_count"))
