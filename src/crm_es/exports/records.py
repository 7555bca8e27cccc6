"""The rows of contacts, companies, interactions, deals and tickets as of a position, read through the history twins.

A page at a time in the order of ids, each a statement of its own: neither memory nor a transaction grows with the workspace.
What a past position shows never changes, but by erasure.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.raw_cursor import RawCursor
from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.eventstore.event import camel
from crm_es.exports.view import TOMBSTONE, Field, Kind, Row, View
from crm_es.projector.contract import Column
from crm_es.reads.sql import Condition, Query, Source, Viewer
from crm_es.values import Money
from projections import contact_profiles, interactions, pipelines, service_queues
from projections.contact_profiles import tables as parties
from projections.interactions import tables as timelines
from projections.pipelines import tables as sales
from projections.service_queues import tables as service

PAGE: Final = 5_000
CONTACTS: Final = Source(contact_profiles.NAME, parties.CONTACT)
_KINDS: Final[Mapping[str, Kind]] = {
    "integer": Kind.INTEGER,
    "bigint": Kind.INTEGER,
    "bool": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamptz": Kind.MOMENT,
    "numeric": Kind.DECIMAL,
    "jsonb": Kind.LIST,
    "text[]": Kind.LIST,
    "uuid[]": Kind.LIST,
}


_SAID: Final[Mapping[str, Callable[[Any], str]]] = {"uuid": str, "numeric": lambda value: format(value, "f")}
_FROM: Final = SQL("t.id >= {}")
_AFTER: Final = SQL("t.id > {}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """Rows of another table as a list in a field: `columns` of those whose `via` names the record, in `order`."""

    source: Source
    via: LiteralString
    columns: tuple[LiteralString, ...]
    order: tuple[LiteralString, ...]
    personal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """A view of records. `columns` are the table's, in the order shown; `money` pairs of minor units and currency; `subjects`
    the column that says whose data a row is (contacts: the record itself)."""

    name: str
    description: str
    source: Source
    columns: tuple[LiteralString, ...]
    money: Mapping[str, tuple[LiteralString, LiteralString]]
    items: Mapping[str, Items]
    subjects: LiteralString | None = None

    @property
    def selected(self) -> tuple[LiteralString, ...]:
        return (*self.columns, *(name for pair in self.money.values() for name in pair))

    @property
    def view(self) -> View:
        table = [_field(self.source.column(name)) for name in self.columns]
        amounts = [each for name in self.money for each in _amount(name)]
        lists = [
            Field(name=name, kind=Kind.LIST, description=_LISTED, personal=items.personal)
            for name, items in self.items.items()
        ]
        return View(name=self.name, description=self.description, fields=(*table, *amounts, *lists))


_LISTED: Final = "In the order shown by the API."


def _field(column: Column) -> Field:
    about = column.name.replace("_", " ").capitalize()
    kind = _KINDS.get(column.type, Kind.TEXT)
    return Field(name=camel(column.name), kind=kind, description=f"{about}.", personal=column.personal)


def _amount(name: str) -> tuple[Field, Field]:
    return (
        Field(name=name, kind=Kind.DECIMAL, description="In units of its currency."),
        Field(name=f"{name}Currency", kind=Kind.TEXT, description="ISO 4217."),
    )


def _item(table: Any, *columns: LiteralString) -> Items:
    source = Source(contact_profiles.NAME, table)
    return Items(source=source, via="contact_id", columns=columns, order=("since", "place"), personal=True)


def _external(model: LiteralString, table: Any, via: LiteralString) -> Items:
    return Items(source=Source(model, table), via=via, columns=("system", "value"), order=("system", "value"))


VIEWS: Final = (
    Records(
        name="contacts",
        description="Every contact, merged, archived and erased ones included.",
        source=CONTACTS,
        columns=(
            "id", "version", "record_status", "display_name", "given_name", "family_name", "job_title", "primary_email",
            "addresses", "company_id", "lifecycle_stage", "owner_id", "source", "tags", "merged_into", "archived_at",
            "erased_at", "created_at", "updated_at",
        ),
        money={},
        items={
            "emails": _item(parties.EMAIL, "address"),
            "phones": _item(parties.PHONE, "phone_number"),
            "identities": _item(parties.IDENTITY, "channel", "external_id"),
            "externalIds": _item(parties.EXTERNAL_ID, "system", "value"),
        },
        subjects="id",
    ),
    Records(
        name="companies",
        description="Every company, archived ones included.",
        source=Source(contact_profiles.NAME, parties.COMPANY),
        columns=(
            "id", "version", "record_status", "name", "domains", "parent_id", "industry", "employee_count", "founded_year",
            "country", "addresses", "owner_id", "tags", "archived_at", "created_at", "updated_at",
        ),
        money={"annualRevenue": ("revenue_minor", "revenue_currency")},
        items={"externalIds": _external(contact_profiles.NAME, parties.COMPANY_EXTERNAL_ID, "company_id")},
    ),
    Records(
        name="interactions",
        description="Every interaction that was not retracted.",
        source=Source(interactions.NAME, timelines.INTERACTION),
        columns=(
            "id", "version", "type", "direction", "channel", "external_id", "subject", "body", "body_format", "occurred_at",
            "duration_seconds", "quantity", "participants", "contact_ids", "company_id", "deal_id", "ticket_id", "member_id",
            "visibility", "internal", "corrected_at", "redacted_at", "created_at", "updated_at",
        ),
        money={"amount": ("amount_minor", "amount_currency")},
        items={},
        subjects="contact_ids",
    ),
    Records(
        name="deals",
        description="Every deal, archived ones included.",
        source=Source(pipelines.NAME, sales.DEAL),
        columns=(
            "id", "version", "record_status", "name", "pipeline_id", "stage_id", "status", "probability", "forecast_category",
            "expected_close_date", "company_id", "contact_id", "contact_ids", "owner_id", "lost_reason", "opened_at",
            "closed_at", "stage_entered_at", "archived_at", "created_at", "updated_at",
        ),
        money={"amount": ("amount_minor", "amount_currency"), "weightedAmount": ("weighted_minor", "amount_currency")},
        items={"externalIds": _external(pipelines.NAME, sales.DEAL_EXTERNAL_ID, "deal_id")},
        subjects="contact_ids",
    ),
    Records(
        name="tickets",
        description="Every ticket, merged ones included.",
        source=Source(service_queues.NAME, service.TICKET),
        columns=(
            "id", "version", "number", "title", "status", "hold_reason", "priority", "type", "tags", "queue_id", "assignee_id",
            "requester_id", "company_id", "merged_into", "follow_up_of_id", "split_from_id", "opened_at", "first_responded_at",
            "resolved_at", "closed_at", "resolution", "satisfaction", "satisfaction_comment", "sla_due_at", "breached",
            "created_at", "updated_at",
        ),
        money={},
        items={"externalIds": _external(service_queues.NAME, service.EXTERNAL_ID, "ticket_id")},
        subjects="requester_id",
    ),
)  # fmt: skip


class Reader:
    """Reads one workspace's records as of a position, which the read models have reached. `connection` is fenced to it."""

    def __init__(self, connection: psycopg.Connection[Any], workspace: UUID, position: int) -> None:
        self._connection = connection
        self._viewer = Viewer(workspace=workspace, member_id=None, now=None)
        self._position = position

    def pages(
        self, records: Records, only: Condition | None = None, *, since: UUID | None = None, size: int = PAGE
    ) -> Iterator[list[Row]]:
        """In the order of ids, from `since` on; `only` narrows them."""
        begins = None if since is None else (_FROM, since)
        while found := self._page(records, only, begins, size):
            yield self._shown(records, found)
            begins = (_AFTER, found[-1][0])

    def _page(
        self, records: Records, only: Condition | None, begins: tuple[SQL, UUID] | None, size: int
    ) -> list[tuple[Any, ...]]:
        query = self.query()

        def where() -> list[Composable]:
            begun = [begins[0].format(query.bind(begins[1], "uuid"))] if begins else []
            return [*begun, *([only(query, "t")] if only else [])]

        inner = query.select(records.source, "t", records.selected, where)
        limit = query.bind(size, "bigint")
        return self.rows(query, SQL("SELECT * FROM ({}) AS r ORDER BY r.id LIMIT {}").format(inner, limit))

    def query(self) -> Query:
        return Query(self._viewer, self._position)

    def rows(self, query: Query, statement: Composed) -> list[tuple[Any, ...]]:
        with RawCursor[tuple[Any, ...]](self._connection) as cursor:
            return cursor.execute(statement, query.parameters).fetchall()

    def _shown(self, records: Records, found: Sequence[tuple[Any, ...]]) -> list[Row]:
        """A column at a time."""
        held = dict(zip(records.selected, zip(*found, strict=True), strict=True))
        ended = self._ended(records, held)
        shown = [_column(records.source.column(name), held[name], ended) for name in records.columns]
        for minor, currency in records.money.values():
            shown += zip(*map(_money, held[minor], held[currency]), strict=True)
        for items in records.items.values():
            listed = self._items(items, held["id"])
            gone = ended if items.personal else None
            shown.append(
                [
                    TOMBSTONE if gone and gone[place] else _json(listed.get(id_, []))
                    for place, id_ in enumerate(held["id"])
                ]
            )
        return list(zip(*shown, strict=True))

    def _items(self, items: Items, ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
        query = self.query()
        wanted = query.bind(list(ids), "uuid[]")
        columns = dict.fromkeys((items.via, *items.order, *items.columns))
        inner = query.select(
            items.source, "t", columns, lambda: [SQL("{} = ANY ({})").format(Identifier("t", items.via), wanted)]
        )
        order = SQL(", ").join(map(Identifier, dict.fromkeys((*items.order, *items.columns))))
        picked = SQL(", ").join(Identifier(name) for name in (items.via, *items.columns))
        found: dict[UUID, list[Any]] = {}
        for owner, *values in self.rows(query, _ordered(picked, inner, order)):
            if values[0] is not None:
                found.setdefault(owner, []).append(values[0] if len(values) == 1 else _named(items.columns, values))
        return found

    def _ended(self, records: Records, held: Mapping[str, Sequence[Any]]) -> list[bool] | None:
        """Of each row whether all whom it is about are erased by now: what is destroyed is gone from the past too."""
        about = [_subjects(value) for value in held[records.subjects]] if records.subjects else []
        subjects = {each for row in about for each in row}
        if not subjects:
            return None
        query = Query(self._viewer, None)
        wanted = query.bind(list(subjects), "uuid[]")
        inner = query.select(
            CONTACTS, "t", ("id",), lambda: [SQL("t.id = ANY ({}) AND t.erased_at IS NOT NULL").format(wanted)]
        )
        gone = {row[0] for row in self.rows(query, inner)}
        return [bool(row) and gone.issuperset(row) for row in about] if gone else None


def _ordered(picked: Composable, inner: Composable, order: Composable) -> Composed:
    return SQL("SELECT {} FROM ({}) AS i ORDER BY {}").format(picked, inner, order)


def _subjects(value: Any) -> Sequence[UUID]:
    return value if isinstance(value, list) else [value] if value else []


def _column(column: Column, values: Sequence[Any], ended: Sequence[bool] | None) -> Sequence[Any]:
    said = _SAID.get(column.type) or (_json if _KINDS.get(column.type) is Kind.LIST else None)
    shown = values if said is None else [None if value is None else said(value) for value in values]
    if not column.personal or ended is None:
        return shown
    return [TOMBSTONE if value is None and gone else value for value, gone in zip(shown, ended, strict=True)]


def _money(minor: int | None, currency: str | None) -> tuple[str | None, str | None]:
    if minor is None or currency is None:
        return None, None
    return format(Money(minor, currency).amount, "f"), currency


def _named(columns: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in zip(columns, values, strict=True)}


def _json(value: Sequence[Any]) -> str:
    plain = [{camel(k): v for k, v in each.items()} if isinstance(each, dict) else each for each in value]
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
