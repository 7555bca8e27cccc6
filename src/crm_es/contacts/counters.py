"""How much a contact has to do with other rooms: open deals and tickets, what was won, when service last heard of them or
they of it; null where one may not see all of it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.sql import SQL, Composable

from crm_es.api.nodes import Money
from crm_es.interactions import graphql as interaction_graphql
from crm_es.reads import records
from crm_es.reads.declare import batched
from crm_es.reads.model import ReadType, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, TRUE, Query
from crm_es.sales import graphql as sales_graphql
from crm_es.sales.links import OF_CONTACT
from crm_es.sales.sums import amounts_of
from crm_es.service import counting, ticket_graphql


def open_tickets() -> Any:
    return batched(
        _open_tickets, int | None, _NULL.format("How many of their tickets are not resolved yet"), columns=("id",)
    )


def open_deals() -> Any:
    return batched(_open_deals, int | None, _NULL.format("How many of their deals are open"), columns=("id",))


def won() -> Any:
    return batched(
        _won, list[Money] | None, _NULL.format("What was won with them, by currency") + " Also null where amounts are masked.",
        columns=("id",),
    )  # fmt: skip


def last_service_contact() -> Any:
    return batched(
        _last_service_contact, datetime | None,
        "When they last wrote on one of their tickets, or were answered on it, internal notes aside; null where you may not see "
        "all of that.",
        columns=("id",),
    )  # fmt: skip


_NULL: Final = "{}; null where you may not see all of them."


async def _open_tickets(_reads: Any, contacts: Sequence[Any], _given: Mapping[str, Any]) -> list[int | None]:
    """One statement for all contacts of a level, here and below."""
    moment, read = records.moment_of(contacts[0]), read_of(ticket_graphql.Ticket)
    if not _all_seen(moment, read):
        return [None for _ in contacts]
    query = moment.query()
    ids = counting.ids_of(query, contacts)
    found = query.select(
        read.source, "t", ("requester_means_id",),
        lambda: [
            SQL("t.requester_means_id = ANY ({})").format(ids), SQL("t.status IN {}").format(SQL(counting.ACTIVE)),
            *_seen(query, read),
        ],
    )  # fmt: skip
    rows = await moment.rows(
        query, SQL("SELECT c.requester_means_id, count(*) FROM ({}) AS c GROUP BY 1").format(found)
    )
    counts = dict(rows)
    return [counts.get(records.raw(contact, "id"), 0) for contact in contacts]


async def _open_deals(_reads: Any, contacts: Sequence[Any], _given: Mapping[str, Any]) -> list[int | None]:
    moment, read = records.moment_of(contacts[0]), read_of(sales_graphql.Deal)
    if not _all_seen(moment, read):
        return [None for _ in contacts]
    counts = {contact: count for contact, _, count, _ in await _deals(moment, contacts, "OPEN")}
    return [counts.get(records.raw(contact, "id"), 0) for contact in contacts]


async def _won(_reads: Any, contacts: Sequence[Any], _given: Mapping[str, Any]) -> list[list[Money] | None]:
    moment, read = records.moment_of(contacts[0]), read_of(sales_graphql.Deal)
    if not _all_seen(moment, read) or "amount" in moment.viewer.masked(read.entity):
        return [None for _ in contacts]
    sums: dict[UUID, list[tuple[int, str]]] = defaultdict(list)
    for contact, currency, _, minor in await _deals(moment, contacts, "WON", by_currency=True):
        sums[contact].append((minor, currency))
    return [amounts_of(sums[records.raw(contact, "id")]) for contact in contacts]


async def _deals(
    moment: Moment, contacts: Sequence[Any], status: str, *, by_currency: bool = False
) -> list[tuple[Any, ...]]:
    """(contact, currency, count, sum in minor units) of the deals in use that stand so."""
    query, read = moment.query(), read_of(sales_graphql.Deal)
    ids, wanted = counting.ids_of(query, contacts), query.bind(status, "text")
    links = query.select(
        OF_CONTACT.source, "l", ("canonical_id", "deal_id"), lambda: [SQL("l.canonical_id = ANY ({})").format(ids)]
    )
    deals = query.select(
        read.source, "d", ("id", "amount_currency", "amount_minor"),
        lambda: [SQL("d.status = {} AND d.record_status = 'ACTIVE'").format(wanted), *_seen(query, read, "d")],
    )  # fmt: skip
    currency = SQL("d.amount_currency") if by_currency else SQL("NULL::text")
    return await moment.rows(query, _DEALS.format(links=links, deals=deals, currency=currency))


async def _last_service_contact(
    _reads: Any, contacts: Sequence[Any], _given: Mapping[str, Any]
) -> list[datetime | None]:
    """By the ticket that a message was written on, whatever that was merged into."""
    moment = records.moment_of(contacts[0])
    tickets, messages = read_of(ticket_graphql.Ticket), read_of(interaction_graphql.Interaction)
    if not (_all_seen(moment, tickets) and _all_seen(moment, messages)):
        return [None for _ in contacts]
    query = moment.query()
    ids = counting.ids_of(query, contacts)
    asked = query.select(
        tickets.source, "t", ("id", "requester_means_id"),
        lambda: [SQL("t.requester_means_id = ANY ({})").format(ids), *_seen(query, tickets)],
    )  # fmt: skip
    shown = AND.join([TRUE, *_seen(query, messages, "i")])
    seen, unseen = (
        query.select(messages.source, "i", ("ticket_id", "occurred_at"), lambda: [_MESSAGES, condition])  # noqa: B023  # at once
        for condition in (shown, SQL("({}) IS NOT TRUE").format(shown))
    )
    rows = await moment.rows(query, _LAST_CONTACT.format(asked=asked, seen=seen, unseen=unseen))
    found = {contact: None if hidden else at for contact, at, hidden in rows}
    return [found.get(records.raw(contact, "id")) for contact in contacts]


_MESSAGES: Final = SQL("i.ticket_id IS NOT NULL AND NOT i.internal AND i.direction IN ('INBOUND', 'OUTBOUND')")
_LAST_CONTACT: Final = SQL("""
SELECT t.requester_means_id, max(m.occurred_at), bool_or(m.hidden)
FROM ({asked}) AS t
CROSS JOIN LATERAL (
  SELECT s.occurred_at, false AS hidden FROM ({seen}) AS s WHERE s.ticket_id = t.id
  UNION ALL
  SELECT NULL, true FROM ({unseen}) AS u WHERE u.ticket_id = t.id
) AS m
GROUP BY 1
""")


async def at_stake(moment: Moment, contact: UUID) -> tuple[int, int]:
    """How many deals and tickets that the viewer may see a contact has, whatever became of them."""
    query, deals, tickets = moment.query(), read_of(sales_graphql.Deal), read_of(ticket_graphql.Ticket)
    id_ = query.bind(contact, "uuid")
    linked = query.select(
        OF_CONTACT.source, "l", ("deal_id",), lambda: [SQL("l.canonical_id = {}").format(id_)],
    )  # fmt: skip
    seen = query.select(deals.source, "d", ("id",), lambda: _seen(query, deals, "d"))
    asked = query.select(
        tickets.source, "t", ("id",),
        lambda: [SQL("t.requester_means_id = {}").format(id_), *_seen(query, tickets)],
    )  # fmt: skip
    [(of_deals, of_tickets)] = await moment.rows(query, _AT_STAKE.format(linked=linked, seen=seen, asked=asked))
    return of_deals, of_tickets


_AT_STAKE: Final = SQL("""
SELECT (SELECT count(*) FROM ({seen}) AS d WHERE d.id IN (SELECT l.deal_id FROM ({linked}) AS l)),
       (SELECT count(*) FROM ({asked}) AS t)
""")


# Somebody merged may stand in a deal twice.
_DEALS: Final = SQL("""
SELECT l.canonical_id, {currency} AS currency, count(*), sum(d.amount_minor)
FROM (SELECT DISTINCT k.canonical_id, k.deal_id FROM ({links}) AS k) AS l
JOIN ({deals}) AS d ON d.id = l.deal_id
GROUP BY 1, 2
ORDER BY 1, 2
""")


def _all_seen(moment: Moment, read: ReadType) -> bool:
    return moment.viewer.scope(str(read.entity)) == "WORKSPACE"


def _seen(query: Query, read: ReadType, alias: Any = "t") -> list[Composable]:
    return [condition(query, alias) for condition in records.visible(read, query.viewer)]
