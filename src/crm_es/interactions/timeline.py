"""What other rooms hang on interactions: the timeline of a record, and how much happened with a contact."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.nodes import Node
from crm_es.api.rules import PARENT, ruled
from crm_es.interactions.enums import InteractionType
from crm_es.reads import operands
from crm_es.reads.declare import Argument, Condition, Link, Source, merged
from crm_es.reads.filters import FilterField
from crm_es.reads.model import Connection
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from projections import interactions, milestones

ACTIVITY: Final = Source(interactions.NAME, interactions.ACTIVITY)
LINKS: Final = Source(interactions.NAME, interactions.LINK)
OF_CONTACT: Final = Link(
    source=LINKS, parent="canonical_id", child="interaction_id",
    orders={"occurred_at": "occurred_at", "created_at": "created_at"},
)  # fmt: skip
MILESTONES_OF_CONTACT: Final = Link(
    source=Source(milestones.NAME, milestones.LINK), parent="canonical_id", child="milestone_id",
    orders={"occurred_at": "occurred_at"},
)  # fmt: skip
OF_ITSELF: Final = "entity_id"


@ruled(PARENT)
@strawberry.interface(description="Something on a timeline.")
class TimelineItem(Node):
    occurred_at: datetime = strawberry.field(description="When it happened in the world.")


def timeline(target: Callable[[], Any], via: str | Link, *, milestones: str | Link) -> Any:
    """Of a record: interactions, and milestones of deals and tickets between them, newest first; each by its way to the record.

    Milestones of archived deals stand on the timelines of these alone.
    """
    types = Argument(
        name="types", type=list[InteractionType] | None, description="Only these kinds of interaction.", where=_of_types
    )
    between = Argument(name="milestones", type=bool, default=True, description="With milestones between them.")
    return merged(
        Connection(target=target, via=via, filter=False, order=False, arguments=(types,)),
        Connection(
            target=lambda: import_module("crm_es.interactions.milestones").Milestone, via=milestones, filter=False,
            order=False, default=(("occurred_at", "DESC"),), where=None if milestones == OF_ITSELF else _in_use,
        ),
        name="TimelineConnection", node=lambda: TimelineItem, among=_parts, arguments=(types, between),
        description="What happened: interactions, and milestones of deals and tickets between them; newest first.",
    )  # fmt: skip


def _parts(given: Mapping[str, Any]) -> Sequence[int]:
    return (0, 1) if given["milestones"] else (0,)


def _in_use(_query: Query, alias: LiteralString) -> Composable:
    return SQL("NOT {}").format(Identifier(alias, "archived"))


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
