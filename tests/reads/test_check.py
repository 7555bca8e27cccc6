"""Declarations that do not fit their tables are found when the process starts."""

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from crm_es.api.scalars import SCALARS
from crm_es.reads import filters
from crm_es.reads.check import check
from crm_es.reads.declare import Orders, column, connection, many, one, read_type
from crm_es.reads.errors import DeclarationError
from tests.reads import small


@read_type(
    small.source(small.CONTACT),
    orders=Orders(columns={"NOTE": "note"}, default=(("NOTE", "ASC"),)),
    filter=lambda: WrongFilter,
)
class Wrong:
    """All of it wrong."""

    missing: str | None = column("nope", "No such column.")
    name: str = column("display_name", "May be erased.")
    version: str = column("version", "A number.")
    tags: str | None = column("tags", "A list.")
    company = one("firm_id", lambda: small.Company, "No such column.")
    emails = many(lambda: small.Email, via="holder_id", order=("-age",), description="No such columns.")
    others = connection(lambda: Wrong, via="note", description="No index.")


WrongFilter = filters.filter_type("WrongFilter", lambda: Wrong, given=filters.text("nope"))


@strawberry.type(description="Where reading starts.")
class Query:
    wrongs = connection(lambda: Wrong, description="All.")


def test_every_fault_is_named() -> None:
    schema = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))

    with pytest.raises(DeclarationError) as found:
        check(schema._schema)

    assert sorted(fault for fault in found.value.faults if fault.startswith("Wrong")) == [
        "Wrong.company: there is no column small.contact.firm_id",
        "Wrong.emails: no index or key of email starts with holder_id",
        "Wrong.emails: there is no column small.email.age",
        "Wrong.emails: there is no column small.email.holder_id",
        "Wrong.missing: there is no column small.contact.nope",
        "Wrong.name: is never null, but small.contact.display_name may be",
        "Wrong.others: no index or key of contact starts with note",
        "Wrong.tags: is String, but small.contact.tags is text[]",
        "Wrong.version: is String!, but small.contact.version is int",
        "Wrong: filter given asks for small.contact.nope, which is no column",
        "Wrong: order NOTE has no index on small.contact.note marked `order`",
    ]


def test_the_small_crm_fits_but_for_its_stage_order() -> None:
    with pytest.raises(DeclarationError) as found:
        check(small.schema._schema)

    assert set(found.value.faults) == {
        "Contact: order STAGE has no index on small.contact.stage marked `order`",
        "Meeting.contacts: no index or key of guest starts with meeting_id",
    }
