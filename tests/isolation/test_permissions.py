"""Each role at each door: allowed exactly what the table allows, and what is masked is masked everywhere."""

import json
from uuid import uuid4

import pytest
from graphql import get_named_type, is_leaf_type

from crm_es.api import ids
from crm_es.api.rules import rule_of
from crm_es.reads.model import read_of
from crm_es.schema import finding, schema
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import MASKABLE, ROLES, Permissions
from crm_es.workspaces.role import Permission
from tests.api.conftest import identity
from tests.isolation.walking import SCHEMA, Asking

pytestmark = pytest.mark.anyio
ANYTHING = {"node", "nodes", "entity", "diff", "explain"}
"""Allowed as the record is that they are asked for."""


def rules(root):
    """What each root field needs; None: to be signed in."""
    definition = schema.schema_converter.type_map[root].definition
    names = {field.python_name: schema.config.name_converter.get_graphql_name(field) for field in definition.fields}
    found = {names[field.python_name]: rule_of(definition.origin, field) for field in definition.fields}
    return {name: rule.needs for name, rule in found.items() if name not in ANYTHING}


def allowed(role, needs):
    return needs is None or Permissions.of([role]).scope(*needs) is not None


def empty(value):
    """Nothing but counts of nothing."""
    if isinstance(value, dict):
        return all(empty(item) for key, item in value.items() if key not in {"__typename", "pageInfo"})
    return value in (None, 0) if not isinstance(value, list) else all(map(empty, value))


async def shown(neighbours, name, role):
    """Whether the root field shows the role anything."""
    body = await neighbours.post(neighbours.asking.plain("query", name), who=role)
    codes = {error["extensions"]["code"] for error in body.get("errors", ())}
    assert codes <= {"FORBIDDEN", "BAD_USER_INPUT"}, (name, role, body)
    return not codes and not empty(body["data"][name])


QUERIES = rules("Query")
MUTATIONS = rules("Mutation")


@pytest.mark.parametrize("name", QUERIES)
async def test_roles_see_exactly_what_the_table_lets_them(neighbours, name):
    assert await shown(neighbours, name, "admin"), "there must be something to see, or this proves nothing"

    seen = {role for role in (*ROLES, "nobody") if await shown(neighbours, name, role)}

    assert seen - {"nobody"} == {role for role in ROLES if allowed(role, QUERIES[name])}
    assert "nobody" not in seen or QUERIES[name] is None


def test_little_is_left_unseen():
    assert len(QUERIES) >= 19
    assert len(MUTATIONS) >= 25


@pytest.mark.parametrize("name", MUTATIONS)
async def test_roles_do_exactly_what_the_table_lets_them(neighbours, name):
    """With ids of nothing, so that only what is refused for its role is refused so."""
    document = Asking({kind: ids.encode(kind, uuid4()) for kind in neighbours.ours.uuids}, "Acme").plain(
        "mutation", name
    )
    permitted = set()

    for role in (*ROLES, "nobody"):
        before = neighbours.ours.head()
        body = await neighbours.post(document, who=role)
        assert "errors" not in body, body
        if not any(error["code"] == "NOT_ALLOWED" for error in body["data"][name]["userErrors"]):
            permitted.add(role)
        elif neighbours.ours.head() != before:
            pytest.fail(f"refused to {role}, and recorded")

    expected = {role for role in ROLES if allowed(role, MUTATIONS[name])}
    if (MUTATIONS[name] or (None, None))[1] is not Action.AUDIT:  # all an auditor does is to ask for an export
        expected -= {"auditor"}
    assert permitted == expected | ({"nobody"} if MUTATIONS[name] is None else set()) - {"nobody"}
    assert permitted


@pytest.fixture
def peek(neighbours):
    """Somebody who reads every record and none of its maskable fields."""
    everything = [
        Permission(type=kind, action=Action.READ, scope=Scope.WORKSPACE, fields=() if kind in MASKABLE else None)
        for kind in EntityType
    ]
    known = neighbours.ours.api.known
    known["peek"] = identity(neighbours.ours.api.workspace, "peek")
    object.__setattr__(known["peek"], "permissions", Permissions(everything))
    return "peek"


def of(entity):
    return next(cls for cls in finding.KINDS.read.values() if read_of(cls).entity == entity)


def fields_of(entity):
    return SCHEMA.type_map[read_of(of(entity)).name].fields


@pytest.mark.parametrize("entity", MASKABLE)
async def test_masked_fields_are_null_and_named(neighbours, peek, entity):
    name = read_of(of(entity)).name
    masked = sorted(set(MASKABLE[entity]) & set(fields_of(entity)))
    leaf = {field: is_leaf_type(get_named_type(fields_of(entity)[field].type)) for field in masked}
    asked = " ".join(field if leaf[field] else f"{field} {{ __typename }}" for field in masked)
    query = f"query($id: ID!) {{ node(id: $id) {{ ... on {name} {{ maskedFields {asked} }} }} }}"
    id_ = neighbours.ours.ids()[name]

    seen = (await neighbours.post(query, {"id": id_}, who="admin"))["data"]["node"]
    hidden = (await neighbours.post(query, {"id": id_}, who=peek))["data"]["node"]

    assert any(seen[field] for field in masked)
    assert set(masked) <= set(hidden["maskedFields"])
    assert {field: hidden[field] for field in masked} == dict.fromkeys(masked)


def maskable_filters():
    for entity in MASKABLE:
        filter_ = read_of(of(entity)).filter
        for python_name, declared in getattr(filter_ and filter_(), "__filter__", {}).items():
            name = schema.config.name_converter.apply_naming_config(python_name)
            if MASKABLE[entity].intersection(declared.fields or (name,)):
                yield read_of(of(entity)).name, name


@pytest.mark.parametrize(("name", "field"), [*maskable_filters()])
async def test_nobody_filters_by_what_he_may_not_see(neighbours, peek, name, field):
    list_ = next(
        key for key, made in SCHEMA.query_type.fields.items() if get_named_type(made.type).name == f"{name}Connection"
    )
    kind = SCHEMA.query_type.fields[list_].args["filter"].type
    operand = Asking(neighbours.ours.ids(), "Acme").sample(kind.fields[field].type, field, list_)
    query = f"query($filter: {kind}) {{ {list_}(filter: $filter) {{ totalCount }} }}"

    for filter_ in ({field: operand}, {"not": {field: operand}}, {"or": [{field: operand}]}):
        body = await neighbours.post(query, {"filter": filter_}, who=peek)
        assert [error["extensions"].get("rule") for error in body["errors"]] == ["filter.masked"]


async def test_search_finds_and_quotes_nothing_masked(neighbours, peek):
    query = "query($text: String!) { search(text: $text) { edges { field snippet node { __typename id } } } }"
    hits = {"admin": [], peek: []}

    for who, found in hits.items():
        for text in ("acme@acme.example", "Acme", "15112345678", "max.acme@acme.test", "Ticket Acme"):
            body = await neighbours.post(query, {"text": text}, who=who)
            found += [(edge["node"]["__typename"], edge["field"]) for edge in body["data"]["search"]["edges"]]

    hidden = {(read_of(of(entity)).name, field) for entity, fields in MASKABLE.items() for field in fields}
    assert {("Contact", "emails"), ("Ticket", "title")} <= set(hits["admin"]) & hidden
    assert not set(hits[peek]) & hidden


async def test_history_tells_that_a_masked_field_changed_and_not_how(neighbours, peek):
    query = """query($id: ID!) { node(id: $id) { ... on Contact { history { nodes {
        reason data origin { address } changes { field masked from to } } } } } }"""

    body = await neighbours.post(query, {"id": neighbours.ours.ids()["Contact"]}, who=peek)

    (event,) = body["data"]["node"]["history"]["nodes"]
    changes = {change["field"]: change for change in event["changes"]}
    assert event["data"] is None
    for field in MASKABLE[EntityType.CONTACT] & set(changes):
        assert changes[field] == {"field": field, "masked": True, "from": None, "to": None}
    assert "acme@acme.example" not in json.dumps(body)
