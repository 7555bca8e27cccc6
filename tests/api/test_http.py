"""GraphQL over HTTP: who gets in, in which form answers come, and how everything wrong is told."""

import json
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest

from crm_es.api.http import GraphQLOverHTTP
from crm_es.api.limits import BODY_BYTES, VARIABLES_BYTES
from crm_es.app import serving
from crm_es.schema import schema
from tests.api.conftest import hurried, running
from tests.waiting import soon

pytestmark = pytest.mark.anyio

NAME = "{ __typename }"
GRAPHQL_JSON = "application/graphql-response+json"


def code(response) -> str:
    return response.json()["errors"][0]["extensions"]["code"]


async def test_the_viewer_learns_what_he_may_do(api):
    data = await api.ask("{ viewer { permissions { type action scope } expiresAt position } }", who="sales")

    assert {"type": "CONTACT", "action": "CREATE", "scope": "WORKSPACE"} in data["viewer"]["permissions"]
    assert {"type": "CONTACT", "action": "AUDIT", "scope": "WORKSPACE"} not in data["viewer"]["permissions"]
    assert data["viewer"]["position"] == "5"


@pytest.mark.parametrize("token", [None, "stranger", " "])
async def test_nobody_gets_in_without_a_token_we_know(api, token):
    response = await api.post(NAME, who=token)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert code(response) == "UNAUTHENTICATED"
    assert "data" not in response.json()


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}, application/json;q=0.9", GRAPHQL_JSON),
        (f"application/json, {GRAPHQL_JSON};q=0.1", "application/json"),
        (
            f"{GRAPHQL_JSON}, application/graphql+json, application/json, text/event-stream, multipart/mixed",
            GRAPHQL_JSON,
        ),
    ],
)
async def test_answers_come_in_the_form_asked_for(api, accept, media):
    response = await api.post(NAME, headers={"accept": accept} if accept else {})

    assert response.headers["content-type"] == f"{media}; charset=utf-8"
    assert response.json()["data"] == {"__typename": "Query"}


async def test_a_form_we_do_not_have_is_not_acceptable(api):
    response = await api.post(NAME, headers={"accept": "image/png"})

    assert response.status_code == 406


@pytest.mark.parametrize(
    ("query", "expected"),
    [("{", "GRAPHQL_PARSE_FAILED"), ("{ nope }", "GRAPHQL_VALIDATION_FAILED"), ("", "BAD_USER_INPUT")],
)
async def test_a_bad_document_is_a_bad_request_in_the_new_form_and_200_in_the_old(api, query, expected):
    new = await api.post(query, headers={"accept": GRAPHQL_JSON})
    old = await api.post(query, headers={"accept": "application/json"})

    assert new.status_code == 400
    assert old.status_code == (200 if query else 400)
    assert code(new) == code(old) == expected
    assert "data" not in new.json()


async def test_no_suggestion_gives_the_schema_away(api):
    response = await api.post("{ viewe { permissions { typ } } }")

    assert "Did you mean" not in response.text


async def test_variables_that_do_not_fit_are_bad_input(api):
    response = await api.post("query($x: Boolean!) { __typename @include(if: $x) }", variables={"x": "maybe"})

    assert code(response) == "BAD_USER_INPUT"
    assert "data" not in response.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'[{"query": "{__typename}"}]', 400),
        (b'{"query": 1}', 400),
        (b'{"query": "{__typename}", "variables": "x"}', 400),
        (b'{"query": "{__typename}", "variables": [1]}', 400),
        (b'{"query": "{__typename}", "extensions": []}', 400),
        (b'{"query": "{__typename}", "operationName": 4}', 400),
        (b"\xff\xfe", 400),
        (b'{"query": "\\ud800"}', 400),
        (b'{"query": "{__typename}", "variables": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"", 400),
    ],
)
async def test_what_is_no_graphql_request_is_refused(api, body, status):
    headers = {"authorization": "Bearer admin", "content-type": "application/json"}

    response = await api.http.post("/graphql", content=body, headers=headers)

    assert response.status_code == status
    assert code(response) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""]
)
async def test_only_json_in_utf8_is_read(api, media):
    headers = {"authorization": "Bearer admin", "content-type": media}

    response = await api.http.post("/graphql", content=b'{"query": "{__typename}"}', headers=headers)

    assert response.status_code == 415


@pytest.mark.parametrize("declared", [True, False])
async def test_ten_megabytes_are_too_large_whether_declared_or_not(api, declared):
    async def parts():
        for _ in range(160):
            yield b" " * 65_536

    headers = {"authorization": "Bearer admin", "content-type": "application/json"}
    content = b" " * 10_485_760 if declared else parts()

    response = await api.http.post("/graphql", content=content, headers=headers)

    assert BODY_BYTES < 10_000_000
    assert response.status_code == 413


async def test_variables_and_documents_have_limits_of_their_own(api):
    long_variables = await api.post(NAME, variables={"x": "x" * VARIABLES_BYTES})
    long_document = await api.post(NAME + "#" * 70_000)

    assert long_variables.status_code == 413
    assert code(long_document) == "GRAPHQL_VALIDATION_FAILED"


async def test_bombs_are_refused_before_they_run(api):
    deep = await api.post("{" + "a{" * 400 + "b" + "}" * 400 + "}")
    wide = await api.post("{" + " ".join(f"a{n}: __typename" for n in range(400)) + "}")

    assert code(deep) == "GRAPHQL_PARSE_FAILED"
    assert code(wide) == "GRAPHQL_VALIDATION_FAILED"


async def test_queries_may_be_asked_by_get(api):
    headers = {"authorization": "Bearer admin"}
    query = "query A($x: Boolean!) { __typename @include(if: $x) } query B { viewer { expiresAt } }"
    parameters = {"query": query, "operationName": "A", "variables": json.dumps({"x": True})}

    response = await api.http.get("/graphql", params=parameters, headers=headers)

    assert response.json()["data"] == {"__typename": "Query"}


async def test_other_methods_are_not_allowed(api):
    response = await api.http.put("/graphql", headers={"authorization": "Bearer admin"})

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


async def test_one_of_several_operations_must_be_named(api):
    two = "query A { __typename } query B { __typename }"

    unnamed = await api.post(two)
    unknown = await api.post(two, operationName="C")
    named = await api.post(two, operationName="B")

    assert code(unnamed) == code(unknown) == "GRAPHQL_VALIDATION_FAILED"
    assert named.json()["data"] == {"__typename": "Query"}


async def test_a_position_that_is_none_is_bad_input(api):
    response = await api.post(NAME, headers={"crm-min-position": "soon"})

    assert (response.status_code, code(response)) == (400, "BAD_USER_INPUT")


async def test_the_answer_names_its_cost(api):
    response = await api.post("{ viewer { workspace { name } } }")

    assert response.json()["extensions"] == {"cost": 1, "position": "5"}


async def test_the_page_is_graphiql_and_asks_no_other_host(api):
    page = await api.http.get("/graphql", headers={"accept": "text/html"})
    script = await api.http.get("/graphiql/main.js")
    style = await api.http.get("/graphiql/main.css")

    assert page.status_code == script.status_code == style.status_code == 200
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    assert "@import" not in style.text
    assert "url(http" not in style.text


async def test_the_front_door_leads_a_browser_to_graphiql_and_tells_programs_what_there_is(api):
    page = await api.http.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    told = await api.http.get("/")

    assert (page.status_code, page.headers["location"]) == (307, "/graphql")
    assert (told.status_code, told.headers["vary"]) == (200, "Accept")
    doors = {"graphql": "/graphql", "health": "/healthz", "ready": "/readyz", "metrics": "/metrics"}
    assert told.json() == doors | {"log": "/log/checkpoint"}
    assert (await api.http.post("/")).status_code == 405


async def test_without_graphiql_the_front_door_leads_nowhere(place):
    settings = replace(place.settings, graphiql=False)
    app = serving(settings, lambda: running(place, {}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.test") as client:
        answer = await client.get("/", headers={"accept": "text/html"})

    assert answer.json()["graphql"] == "/graphql"


async def test_health_and_metrics_answer_without_a_token(api):
    health = await api.http.get("/healthz")
    metrics = await api.http.get("/metrics")

    assert health.status_code == metrics.status_code == 200
    assert "python_info" in metrics.text
    assert "crm_sealer_lag_events" in metrics.text


async def test_a_failure_before_any_operation_is_masked_and_logged_once(api, caplog):
    api.known["broken"] = None  # what no authenticator answers

    response = await api.post(NAME, who="broken")

    assert response.status_code == 500
    assert code(response) == "INTERNAL"
    assert "NoneType" not in response.text
    assert len([record for record in caplog.records if record.name == "crm_es.api"]) == 1


async def test_a_query_that_takes_too_long_ends(api):
    api.app.state.http = GraphQLOverHTTP(schema, hurried(api.engine))
    async with AsyncExitStack() as held:
        for _ in range(4):  # all the connections there are
            taken = await api.engine.connections.take()
            held.push_async_callback(api.engine.connections.give, taken, sound=True)

        response = await api.post("{ teams { id } }")

    assert (response.status_code, code(response)) == (503, "TIMEOUT")


async def test_without_graphiql_there_is_no_page(api):
    bare = replace(api.engine, settings=replace(api.engine.settings, graphiql=False))
    api.app.state.http = GraphQLOverHTTP(schema, bare)

    page = await api.http.get("/graphql", headers={"accept": "text/html, application/json"})

    assert page.status_code == 401


async def test_readiness_is_told_with_the_lag_of_each_read_model(api):
    async def ready():
        told = await api.http.get("/readyz")
        assert (told.status_code == 200) == told.json()["ready"]
        return told.json()["ready"] and told  # not where we paused for some seconds, until the database was heard again

    assert (await soon(ready)).json()["lag"]["members"] == 0
