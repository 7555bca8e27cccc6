"""The schema against the contract: nothing of what is built may be missing or changed, and everything says what it is."""

from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    build_schema,
    print_ast,
)
from strawberry.types.base import has_object_definition

from crm_es.api.rules import rule_of
from crm_es.schema import schema, text
from tests.api import contract
from tests.api.served import need_node, node

OURS = build_schema(text())
ROOT = Path(__file__).parent.parent.parent


def types() -> list[GraphQLNamedType]:
    return [each for each in OURS.type_map.values() if not each.name.startswith("__")]


def test_the_printed_schema_is_current():
    assert (ROOT / "schema.graphql").read_text() == text(), "run: crm-es schema > schema.graphql"


def test_no_client_of_the_contract_would_miss_anything():
    assert contract.breaks(OURS) == []


def test_what_is_built_has_left_the_list_of_later_types():
    assert contract.later() & set(OURS.type_map) == set()


def test_the_list_of_later_types_holds_only_types_of_the_contract():
    assert contract.later() <= {contract.name(node) for node in contract.whole().definitions}


@pytest.mark.parametrize("title", contract.possible())
def test_the_operations_pages_need_are_valid(title):
    assert contract.faults(OURS, contract.possible()[title]) == []


def test_every_type_and_field_is_described():
    nameless = []
    for each in types():
        if not each.description and each.name not in {"String", "Int", "Float", "Boolean", "ID"}:
            nameless.append(each.name)
        if isinstance(each, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            nameless += [f"{each.name}.{name}" for name, field in each.fields.items() if not field.description]
        if isinstance(each, GraphQLEnumType):
            nameless += [f"{each.name}.{name}" for name, value in each.values.items() if not value.description]

    assert nameless == []


def test_every_field_has_a_rule_of_who_may_read_it():
    lawless = [
        f"{definition.name}.{field.python_name}"
        for definition in (concrete.definition for concrete in schema.schema_converter.type_map.values())
        if has_object_definition(getattr(definition, "origin", None)) and not definition.is_input
        for field in definition.fields
        if rule_of(definition.origin, field) is None
    ]

    assert lawless == []


@pytest.mark.node
@pytest.mark.anyio
async def test_graphql_inspector_finds_no_breaking_change(tmp_path):
    need_node()
    (tmp_path / "contract.graphql").write_text(print_ast(contract.built(contract.later())))
    (tmp_path / "ours.graphql").write_text(text())

    status, printed = await node(
        "npx", "graphql-inspector", "diff", f"{tmp_path}/contract.graphql", f"{tmp_path}/ours.graphql"
    )

    assert status == 0, printed
