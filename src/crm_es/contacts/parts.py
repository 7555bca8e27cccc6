"""What contacts and companies are made of, as the API shows it: addresses, numbers, identities, ids of other systems."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import strawberry
from psycopg.sql import SQL, Identifier

from crm_es.api.enums import describe
from crm_es.api.rules import PARENT, ruled
from crm_es.contacts.contact_events import LifecycleStage
from crm_es.projector.contract import Table
from crm_es.reads import records
from crm_es.reads.declare import Source, batched, column, read_type
from crm_es.reads.model import read_of
from crm_es.reads.sql import Condition
from crm_es.workspaces.actions import GONE, PUT_AWAY, Action
from projections import contact_profiles
from projections.contact_profiles import tables

describe(
    LifecycleStage,
    "How far a contact has come, in this order; going back needs a reason.",
    SUBSCRIBER="Wants to hear from us.",
    LEAD="May become a customer.",
    MARKETING_QUALIFIED="Marketing holds them for promising.",
    SALES_QUALIFIED="Sales holds them for promising.",
    OPPORTUNITY="A deal is open.",
    CUSTOMER="Has bought.",
    EVANGELIST="Recommends us.",
    FORMER="No longer a customer.",
)


def source(table: Table) -> Source:
    return Source(contact_profiles.NAME, table)


def left(record_status: str, erased_at: object = None) -> frozenset[Action] | None:
    """What the state of a contact or company leaves to do; None: everything."""
    if erased_at is not None or record_status == "MERGED":
        return GONE
    return PUT_AWAY if record_status == "ARCHIVED" else None


def known(name: LiteralString) -> Condition:
    """Rows whose sealed value can still be read: lists of the types below show no others."""
    return lambda _query, alias: SQL("{} IS NOT NULL").format(Identifier(alias, name))


@read_type(source(tables.EMAIL), key=None)
class EmailAddress:
    """An address a contact can be written to."""

    address: str = column("address", "As given.", promised=True)
    label: str | None = column("label", "As work or home.")
    primary: bool = column("is_primary", "The one to use.")
    verified: bool = column("verified", "Known to reach them.")


@read_type(source(tables.PHONE), key=None)
class PhoneNumber:
    """A number a contact can be called at."""

    number: str = column("phone_number", "E.164.", promised=True)
    label: str | None = column("label", "As work or mobile.")
    primary: bool = column("is_primary", "The one to use.")


@read_type(source(tables.IDENTITY), key=None)
class ChannelIdentity:
    """Who a contact is on a channel."""

    channel: str = column("channel", "Where, as `whatsapp`.", promised=True)
    external_id: str = column("external_id", "Their id there.", promised=True)
    verified: bool = column("verified", "Known to be theirs.")


@read_type(source(tables.EXTERNAL_ID), key=None)
class ExternalId:
    """What another system calls a record."""

    system: str = column("system", "Which system.", promised=True)
    value: str = column("value", "Its id there.", promised=True)


def external_ids(table: Source, via: LiteralString) -> Any:
    """Of records that keep theirs in a table of their own (`via`: the record's column): by system and value."""

    async def load(_reads: Any, found: Sequence[Any], _given: Mapping[str, Any]) -> list[list[Any]]:
        moment, read = records.moment_of(found[0]), read_of(ExternalId)
        query = moment.query()
        ids = query.bind([records.raw(each, "id") for each in found], "uuid[]")
        statement = query.select(
            table, "t", (via, *read.columns), lambda: [SQL("{} = ANY ({})").format(Identifier("t", via), ids)]
        )
        held: dict[Any, list[Any]] = {}
        for owner, *row in sorted(await moment.rows(query, statement)):
            held.setdefault(owner, []).append(records.made(read, row, moment))
        return [held.get(records.raw(each, "id"), []) for each in found]

    return batched(load, list[ExternalId] | None, "What other systems call it.", columns=("id",))


@ruled(PARENT)
@strawberry.type(description="Where post goes.")
class PostalAddress:
    lines: list[str] = strawberry.field(description="Street and house, as written on an envelope.")
    label: str | None = strawberry.field(default=None, description="As office or home.")
    postal_code: str | None = strawberry.field(default=None, description="As written there.")
    city: str | None = strawberry.field(default=None, description="Town.")
    region: str | None = strawberry.field(default=None, description="State, county or province.")
    country: str | None = strawberry.field(default=None, description="ISO 3166-1 alpha-2.")


def postal_address(row: Mapping[str, Any]) -> PostalAddress:
    return PostalAddress(**row)


__all__ = [
    "ChannelIdentity", "EmailAddress", "ExternalId", "LifecycleStage", "PhoneNumber", "PostalAddress", "external_ids", "known",
    "left", "postal_address", "source",
]  # fmt: skip
