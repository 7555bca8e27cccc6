"""What a filter says about what is proved complete around it."""

import json
from uuid import UUID

import pytest

from crm_es.api import ids
from crm_es.errors import InvalidInputError
from crm_es.exports.narrowing import condition
from crm_es.workspaces.export import ExportScope, Wanted
from crm_es.workspaces.export_scoping import widened

CONTACT = UUID(int=7)


def asked(**filter_):
    return widened(Wanted(filter=json.dumps(filter_)))


def test_the_least_that_holds_what_is_asked_for_is_exported():
    assert asked(type={"eq": "deal.won"}).scope is ExportScope.WORKSPACE
    assert asked(**{"or": [{"position": {"gte": "3"}}]}).scope is ExportScope.WORKSPACE

    one = asked(entityId={"eq": ids.encode("Contact", CONTACT)}, position={"gte": "3"})
    assert (one.scope, one.id) == (ExportScope.STREAM, CONTACT)


@pytest.mark.parametrize(
    ("position", "first", "last"),
    [
        ({"gte": "3"}, 3, None), ({"gt": "3", "lt": "9"}, 4, 8), ({"lte": "9"}, None, 9), ({"eq": "5"}, 5, 5),
    ],
)  # fmt: skip
def test_positions_make_a_range(position, first, last):
    wanted = asked(position=position, type={"eq": "deal.won"})

    assert (wanted.scope, wanted.first, wanted.last) == (ExportScope.RANGE, first, last)


def test_a_scope_that_was_named_stays():
    named = Wanted(scope=ExportScope.SUBJECT, id=CONTACT, filter='{"position": {"gte": "3"}}')

    assert widened(named) == named


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"colour": 1}', '{"position": {"gte": "x"}}', '{"type": 7}', '{"type": {"eq": {}}}']
)
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(InvalidInputError) as refused:
        condition(text)

    assert refused.value.rule == "export.filter_malformed"


@pytest.mark.parametrize(
    ("said", "path", "near"),
    [
        ({"type": {"eq": "contact.mergd"}}, ("filter", "type", "eq"), "contact.merged"),
        ({"or": [{"not": {"field": {"in": ["owner", "jobTitel"]}}}]}, ("filter", "field", "in", "1"), "jobTitle"),
        ({"and": [{"type": {"startsWith": "contcat."}}]}, ("filter", "type", "startsWith"), "contact."),
    ],
)
def test_a_name_that_is_none_is_refused_before_anything_is_made(said, path, near):
    with pytest.raises(InvalidInputError) as refused:
        condition(json.dumps(said))

    assert refused.value.field == path
    assert near in refused.value.message


def test_every_operator_of_the_api_is_understood():
    text = json.dumps(
        {"not": {"and": [{"field": {"contains": "mail"}}, {"occurredAt": {"gte": "2026-01-01T00:00:00Z"}}]}}
    )

    assert callable(condition(text))
