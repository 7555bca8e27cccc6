"""Inputs coerced by plan are those that graphql-core makes, for every mutation and whatever was sent."""

from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLList, GraphQLNonNull, Undefined
from graphql.utilities import coerce_input_value
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.exceptions import StrawberryInputCoercionError

from crm_es.api.coercion import MisfitError, coercer
from crm_es.schema import schema

INPUTS = {name: field.args["input"].type for name, field in schema._schema.mutation_type.fields.items()}
WORDS = {
    "ID": ["Q29udGFjdDoxMjM", ""], "UUID": ["00000000-0000-0000-0000-000000000001", "no"],
    "DateTime": ["2024-02-29T12:00:00Z", "2024-02-30"], "Date": ["2024-02-29", "x"], "Decimal": ["12.50", "1e9", "NaN"],
}  # fmt: skip
strange = st.sampled_from([None, True, 0, 2**40, 1.5, "", "text", [], {}, [None], {"a": 1}])


def values(type_: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """What a client may send: mostly what fits, sometimes what does not."""
    if isinstance(type_, GraphQLNonNull):
        return values(type_.of_type, depth)
    if isinstance(type_, GraphQLList):
        fitting: Any = st.lists(values(type_.of_type, depth - 1), max_size=2)
    elif isinstance(type_, GraphQLInputObjectType):
        fitting = st.nothing() if depth <= 0 else objects(type_, depth - 1)
    elif isinstance(type_, GraphQLEnumType):
        fitting = st.sampled_from([*type_.values, "NONE_OF_THEM"])
    else:
        fitting = st.sampled_from(WORDS.get(type_.name, ["words"])) | st.integers(-3, 3) | st.booleans()
    return st.one_of(*[fitting] * 8, strange)


def objects(type_: GraphQLInputObjectType, depth: int) -> st.SearchStrategy[Any]:
    fields = {name: values(field.type, depth) for name, field in type_.fields.items()}
    required = [name for name, field in type_.fields.items() if isinstance(field.type, GraphQLNonNull)]
    return st.fixed_dictionaries(
        {name: fields[name] for name in required}, optional={n: v for n, v in fields.items() if n not in required}
    ) | st.fixed_dictionaries({}, optional=fields | {"unknown": strange})


def test_what_clients_mostly_send_is_coerced_by_plan() -> None:
    row = {"type": "CALL", "occurredAt": "2024-02-29T12:00:00Z", "contactIds": ["x"], "amount": None}

    (found,) = coercer(INPUTS["recordInteractions"])({"interactions": [row]})["interactions"]

    assert (found["type"].value, found["contactIds"], found["amount"]) == ("CALL", ["x"], None)


@pytest.mark.parametrize("mutation", INPUTS)
@settings(max_examples=10)
@given(data=st.data())
def test_an_input_is_coerced_as_graphql_core_does_or_left_to_it(mutation: str, data: st.DataObject) -> None:
    given_ = data.draw(values(INPUTS[mutation]))
    try:
        expected = coerce_input_value(given_, INPUTS[mutation])
    except StrawberryInputCoercionError:  # a @oneOf with none or several
        expected = Undefined

    try:
        found = coercer(INPUTS[mutation])(given_)
    except MisfitError:
        return

    assert expected is not Undefined
    assert found == expected
