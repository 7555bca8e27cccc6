"""How large a document may be, and what an operation costs."""

import pytest
from graphql import GraphQLError, build_schema
from graphql.utilities import get_introspection_query, get_operation_ast

from crm_es.api import limits
from crm_es.api.cost import cost_of
from crm_es.api.rate import MINUTE, RateLimit

SCHEMA = build_schema("""
interface Node { id: ID! }
type PageInfo { endCursor: String }
type Money { amount: String }
type Company implements Node { id: ID! name: String }
type Contact implements Node {
  id: ID! name: String company: Company worth: Money absorbed: [Contact!]!
  friends(first: Int, last: Int): ContactConnection!
}
type ContactConnection { edges: [ContactEdge!]! nodes: [Contact!]! pageInfo: PageInfo! totalCount: Int! }
type ContactEdge { cursor: String! node: Contact! }
input Row { id: ID! }
input RowsInput { contacts: [Row!]!, allOrNone: Boolean! = true }
input OneInput { emails: [Row!] }
type ContactRow { index: Int! contact: Contact }
type RowsPayload { rows: [ContactRow!]! }
type OnePayload { contact: Contact }
type Query { node(id: ID!): Node nodes(ids: [ID!]!): [Node]! contacts(first: Int, last: Int): ContactConnection! a: Query }
type Mutation { update(input: RowsInput!): RowsPayload! register(input: OneInput!): OnePayload! }
""")


def faults(text: str) -> list[str]:
    return [error.message for error in limits.check(limits.read(text))]


def cost(text: str, **variables: object) -> int:
    document = limits.read(text)
    operation = get_operation_ast(document)
    assert operation is not None
    return cost_of(SCHEMA, document, operation, variables)


def test_a_document_within_bounds_has_no_faults():
    assert faults("query A { a { a { b } } } query B { a {" + "x: b " * 30 + "} }") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{" + "a{" * 12 + "b" + "}" * 12 + "}", "13 levels deep; 12"),
        (
            "{...F} fragment F on Query {" + "a{" * 11 + "...G" + "}" * 11 + "} fragment G on Query { a { b } }",
            "levels deep",
        ),
        ("{" + " ".join(f"x{n}: a" for n in range(31)) + "}", "31 aliases"),
        ("{a{...F} b{...F}} fragment F on Query {" + " ".join(f"x{n}: a" for n in range(16)) + "}", "32 aliases"),
        ("{ a " + "@include(if: true) " * 11 + "}", "11 directives"),
        ("{" + " ".join(f"f{n}" for n in range(11)) + "}", "11 root fields"),
    ],
)
def test_what_is_too_much_is_named_with_its_limit(text, fault):
    assert any(fault in message for message in faults(text))


def test_fragments_that_spread_each_other_are_counted_once():
    bomb = "{...F0}" + "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(100))

    assert faults(bomb + "fragment F100 on Query { a }") == []


def test_a_cycle_of_fragments_ends():
    assert faults("{...F} fragment F on Query { a { ...F } }") == []


def test_a_long_chain_of_fragments_is_too_deep_and_not_a_crash():
    chain = (
        "{...F0}" + "".join(f"fragment F{n} on Query {{...F{n + 1}}}" for n in range(240)) + "fragment F240 on Query{a}"
    )

    assert faults(chain) in ([], ["The document is nested too deeply."])


def test_introspection_may_be_deeper():
    assert faults(get_introspection_query()) == []


@pytest.mark.parametrize(
    "text",
    [
        "{" + "a " * 40_000 + "}",
        "{" + "a " * 2_000 + "}",
        "{" + "a{" * 500,
        "{ a(x: " + "[" * 900,
        "#" * 70_000,
        "{",
        "é" * 40_000,
    ],
)
def test_bytes_tokens_and_nesting_are_bounded_while_reading(text):
    with pytest.raises(GraphQLError):
        limits.read(text)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("{ node(id: 1) { id } }", 1),
        ("{ contacts { totalCount } }", 1),
        ("{ contacts { nodes { id worth { amount } } } }", 51),
        ("{ contacts(first: 10) { edges { node { id company { name } } } } }", 1 + 10 * 2),
        ("{ contacts(last: 10) { nodes { friends(first: 5) { nodes { id } } } } }", 1 + 10 * (1 + 1 + 5)),
        ("{ contacts(first: 10) { nodes { absorbed { id } } } }", 1 + 10 * (1 + 5)),
        ("{ nodes(ids: [1, 2, 3]) { ... on Contact { company { id } } } }", 6),
        ("{ ...F ...F } fragment F on Query { contacts(first: 3) { nodes { id } } }", 8),
        ("mutation { register(input: {emails: [{id: 1}, {id: 2}]}) { contact { id } } }", 2),
        (
            "mutation { update(input: {contacts: [{id: 1}, {id: 2}]}) { rows { contact { company { id } } } } }",
            2 + 2 * 2,
        ),
        ("{ nothing { here } __schema { types { name } } }", 0),
    ],
)
def test_the_cost_can_be_reckoned_by_hand(text, price):
    assert cost(text) == price


def test_sizes_may_come_from_variables_and_their_defaults():
    text = "query($n: Int = 7, $m: Int) { contacts(first: $n) { nodes { friends(first: $m) { nodes { id } } } } }"

    assert cost(text, m=2) == 1 + 7 * (1 + 1 + 2)
    assert cost(text, n=1, m=0) == 1 + 1 * 2


def test_a_batch_is_priced_by_its_rows():
    text = "mutation($input: RowsInput!) { update(input: $input) { rows { index } } }"

    assert cost(text, input={"contacts": [{"id": "1"}] * 1000}) == 1000


@pytest.mark.parametrize("size", [-1, 1_001, 10**30])
def test_a_page_out_of_bounds_is_refused_not_clamped(size):
    with pytest.raises(GraphQLError, match="0 to 1,000") as refused:
        cost("query($n: Int) { contacts(first: $n) { nodes { id } } }", n=size)

    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


def test_a_bomb_of_nested_pages_is_priced_without_walking_it():
    text = "{ contacts(first: 1000) { nodes { friends(first: 1000) { nodes { friends(first: 1000) { nodes { id } } } } } } }"

    assert cost(text) > 10**9


def test_a_minutes_worth_may_be_spent_at_once_and_flows_back():
    now = 0.0
    rate = RateLimit(lambda: now)

    assert all(rate.charge("ann", 5_000, 5_000) == 0 for _ in range(60))
    assert rate.charge("ann", 5_000, 5_000) == pytest.approx(1.0)
    assert rate.charge("bob", 5_000, 5_000) == 0
    now = 2.0
    assert rate.charge("ann", 5_000, 5_000) == 0


def test_those_who_owe_nothing_are_forgotten():
    now = 0.0
    rate = RateLimit(lambda: now)
    rate.charge("ann", 1, 1)
    now = MINUTE
    rate.charge("bob", 1, 1)

    rate.forget(now)

    assert set(rate.spent_until) == {"bob"}
