"""Requests that are bombs, forgeries or no requests at all, over HTTP: a typed error each, and the next one is answered."""

import pytest

from tests.api.test_bad_input import INVALID, UNFIT, api, code

__all__ = ["api"]
pytestmark = pytest.mark.anyio
SIGNED = {"authorization": "Bearer admin"}
JSON = {"content-type": "application/json"}
UNPARSED = "GRAPHQL_PARSE_FAILED"


def many(count, part, between=" "):
    return between.join(part.replace("#", str(number)) for number in range(count))


BOMBS = {
    "depth": (f"{{ {'node(id: 1) { ... on Contact { company { contacts { nodes { ' * 4} id {'} ' * 20} }}", UNFIT),
    "aliases": (f"{{ {many(31, 'a#: __typename')} }}", UNFIT),
    "root fields": (f"{{ {many(11, 'a#: viewer { position }')} }}", UNFIT),
    "directives": (f"{{ viewer {{ position {'@include(if: true) ' * 11} }} }}", UNFIT),
    "unknown directives": ("{ viewer @nothing { position } }", UNFIT),
    "repeated fields": (f"{{ {'__typename ' * 3_000} }}", UNPARSED),
    "nested lists": ("{ nodes(ids: " + "[" * 1_500 + "]" * 1_500 + ") { id } }", UNPARSED),
    "nested objects": ("{ contacts(filter: " + "{not: " * 600 + "{}" + "}" * 600 + ") { totalCount } }", UNPARSED),
    "a circle of fragments": ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", UNFIT),
    "a fragment of itself": ("{ ...A } fragment A on Query { ...A }", UNFIT),
    "fragments that double": (
        "{ ...F0 } " + many(100, "fragment F# on Query { a#: __typename b#: __typename }") + " fragment X on Query { ...F1 }",
        UNFIT,
    ),
    "an unused fragment": ("{ __typename } fragment A on Query { __typename }", UNFIT),
    "an unknown fragment": ("{ ...A }", UNFIT),
    "no operation": ("fragment A on Query { __typename }", UNFIT),
    "a definition of types": ("type Query { a: Int }", UNFIT),
    "two anonymous operations": ("{ __typename } { __typename }", UNFIT),
    "a subscription": ("subscription { events { id } }", INVALID),
    "an undefined variable": ("{ node(id: $id) { id } }", UNFIT),
    "an unused variable": ("query($id: ID!) { __typename }", UNFIT),
    "the wrong variable": ("query($id: Int!) { node(id: $id) { id } }", UNFIT),
    "a huge number": ("{ contacts(first: " + "9" * 5_000 + ") { totalCount } }", UNFIT),
    "a huge default": ("query($n: Int = " + "9" * 5_000 + ") { contacts(first: $n) { totalCount } }", UNFIT),
    "a huge float": ("{ contacts(first: 1e400) { totalCount } }", UNFIT),
    "an unclosed string": ('{ node(id: "', UNPARSED),
    "half a surrogate pair": ('{ node(id: "\\uD800") { id } }', UNPARSED),
    "NUL": ("{ __typename \0 }", UNPARSED),
    "nothing": ("   ", UNPARSED),
    "a comment": ("# nothing", UNPARSED),
    "mutations of nothing": ("mutation { nothing }", UNFIT),
}  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), BOMBS.values(), ids=BOMBS)
async def test_a_document_out_of_bounds_never_runs(api, document, expected):
    body = (await api.post(document)).json()

    assert body["errors"][0]["extensions"]["code"] == expected
    assert "data" not in body


async def test_pages_in_pages_cost_too_much(api):
    inner = "contacts(first: 1000) { nodes { company { contacts(first: 1000) { nodes { id } } } } }"

    response = await api.post(f"{{ {inner} }}")

    assert code(response) == "COST_EXCEEDED"
    assert response.json()["errors"][0]["extensions"]["limit"] == 5_000


VARIABLES = {
    "a text for a number": {"first": "1"},
    "a float for a number": {"first": 1.5},
    "more than 32 bits": {"first": 2**31},
    "more than any bits": {"first": 10**400},
    "a truth for a number": {"first": True},
    "a list for a number": {"first": [[1, 2]]},
    "an object for a number": {"first": {"a": 1}},
    "a list of filters": {"filter": [{}, {}]},
    "an unknown operator": {"filter": {"displayName": {"like": "%"}}},
    "a deep filter": {"filter": {"nothing": {"at": {"all": 1}}}},
}


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES)
async def test_variables_that_do_not_fit_are_told_so(api, variables):
    query = "query($first: Int, $filter: ContactFilter) { contacts(first: $first, filter: $filter) { totalCount } }"

    response = await api.post(query, variables=variables)

    assert (code(response), "data" in response.json()) == (INVALID, False)


async def test_a_filter_in_a_filter_for_ever_is_refused_in_time(api):
    filter_ = {"displayName": {"eq": "Ada"}}
    for _ in range(400):
        filter_ = {"not": filter_}

    response = await api.post(
        "query($f: ContactFilter) { contacts(filter: $f) { totalCount } }", variables={"f": filter_}
    )

    assert response.status_code < 500
    assert code(response) in {INVALID, None}


BODIES = {
    "no JSON": b"query=1",
    "half of it": b'{"query": "{ __typename }"',
    "more than it": b'{"query": "{ __typename }"} {}',
    "an array of operations": b'[{"query": "{ __typename }"}]',
    "a number": b"7",
    "null": b"null",
    "no UTF-8": b'{"query": "{ __typename }\xff"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "half a surrogate pair": b'{"query": "query($a: ID!) { node(id: $a) { id } }", "variables": {"a": "\\ud800"}}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a number for a query": b'{"query": 7}',
    "a list of variables": b'{"query": "{ __typename }", "variables": [1]}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_what_is_no_request_is_a_bad_request(api, body):
    response = await api.http.post("/graphql", content=body, headers=SIGNED | JSON)

    assert (response.status_code, code(response)) == (400, INVALID)


async def test_a_mutation_is_not_sent_by_get(api):
    query = 'mutation { registerContact(input: {displayName: "Ada"}) { position } }'

    response = await api.http.get("/graphql", params={"query": query}, headers=SIGNED)

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_mutation_hidden_behind_a_query_is_not_sent_by_get(api):
    query = 'query A { __typename } mutation B { registerContact(input: {displayName: "Ada"}) { position } }'

    responses = [
        await api.http.get("/graphql", params={"query": query} | name, headers=SIGNED)
        for name in ({}, {"operationName": "B"})
    ]

    assert all("position" not in response.text for response in responses)


AUTHORIZATIONS = [
    "Bearer",
    "Bearer ",
    "Bearer stranger",
    "admin",
    "Basic YWRtaW46YWRtaW4=",
    "Bearer admin admin",
    "bearer\tadmin",
]


@pytest.mark.parametrize("header", AUTHORIZATIONS)
async def test_what_is_no_bearer_gets_nobody_in(api, header):
    response = await api.http.post("/graphql", json={"query": "{ __typename }"}, headers={"authorization": header})

    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")


async def test_two_bearers_are_none(api):
    headers = [("authorization", "Bearer admin"), ("authorization", "Bearer sales")]

    response = await api.http.post("/graphql", json={"query": "{ viewer { member { name } } }"}, headers=headers)

    assert response.status_code == 401


@pytest.mark.parametrize("position", ["-1", "1.5", "soon", "9" * 40, "٣", ""])
async def test_a_position_that_is_none_is_bad_input(api, position):
    headers = SIGNED | {"crm-min-position": position.encode()}

    response = await api.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    assert (response.status_code, code(response)) == (400, INVALID)
