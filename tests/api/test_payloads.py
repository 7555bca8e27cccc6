"""Mutations become payloads in one place: done, replayed, refused, conflicting, or masked when we are at fault."""

import asyncio
import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from psycopg.sql import SQL

from crm_es.api.execution import CrmSchema
from crm_es.api.http import GraphQLOverHTTP
from crm_es.schema import PROBLEMS, Query, Subscription
from tests.api.small_mutations import Mutation
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
schema = CrmSchema(Query, Mutation, Subscription, types=PROBLEMS)
SHOWN = """position projected replayed userErrors { __typename code rule field message
  ... on VersionConflict { currentVersion conflicts { field base mine theirs event { actor { name } } } }
  ... on AlreadyExists { existing { id label } } }"""
CREATE = f"mutation($input: CreateInput!) {{ create(input: $input) {{ member {{ id name version }} {SHOWN} }} }}"
RENAME = f"mutation($input: RenameInput!) {{ rename(input: $input) {{ workspace {{ name currency }} {SHOWN} }} }}"


@pytest.fixture
def app(api):
    api.app.state.http = GraphQLOverHTTP(schema, api.engine)
    return api


def given(**more):
    return {"name": "Zoë", "email": "zoe@acme.test", **more}


async def test_a_payload_shows_its_record_as_projected(app):
    created = (await app.ask(CREATE, input=given()))["create"]

    assert created["member"]["name"] == "Zoë"
    assert (created["position"], created["projected"], created["replayed"], created["userErrors"]) == (
        "6",
        True,
        False,
        [],
    )


async def test_query_in_a_payload_reads_on_at_its_position(app):
    text = "mutation($input: CreateInput!) { create(input: $input) { query { members { totalCount } viewer { position } } } }"

    read = (await app.ask(text, input=given()))["create"]["query"]

    assert read == {"members": {"totalCount": 5}, "viewer": {"position": "6"}}


async def test_the_same_command_is_done_once_and_with_other_input_refused(app):
    command = str(uuid4())
    first = (await app.ask(CREATE, input=given(commandId=command)))["create"]
    second = (await app.ask(CREATE, input=given(commandId=command)))["create"]
    other = (await app.ask(CREATE, input=given(commandId=command, name="Zora")))["create"]

    assert second == {**first, "replayed": True}
    assert other["member"] is None
    assert other["position"] is None
    assert [error["code"] for error in other["userErrors"]] == ["COMMAND_ID_REUSED"]


async def test_a_value_that_is_taken_names_its_holder(app):
    await app.ask(CREATE, input=given())

    refused = (await app.ask(CREATE, input=given(name="Again")))["create"]

    (error,) = refused["userErrors"]
    assert (error["__typename"], error["code"], error["rule"]) == (
        "AlreadyExists",
        "ALREADY_EXISTS",
        "member_email.taken",
    )
    assert error["existing"]["label"] == "Zoë"


async def test_of_two_at_once_one_wins(app):
    answers = await asyncio.gather(*(app.ask(CREATE, input=given(name=str(n))) for n in range(8)))

    errors = [answer["create"]["userErrors"] for answer in answers]
    assert sorted(len(each) for each in errors) == [0, *[1] * 7]


async def test_other_fields_merge_and_the_same_field_conflicts_with_who(app):
    await app.ask(RENAME, input={"name": "Acme Two", "expectedVersion": 1})

    merged = (await app.ask(RENAME, input={"currency": "EUR", "expectedVersion": 1}))["rename"]
    conflict = (await app.ask(RENAME, input={"name": "Mine", "expectedVersion": 1}))["rename"]

    assert merged["workspace"] == {"name": "Acme Two", "currency": "EUR"}
    (error,) = conflict["userErrors"]
    assert (error["code"], error["currentVersion"]) == ("VERSION_CONFLICT", 3)
    assert error["conflicts"] == [
        {"field": "name", "base": "Acme", "mine": "Mine", "theirs": "Acme Two", "event": {"actor": {"name": "Admin"}}}
    ]
    assert conflict["workspace"] is None


async def test_nothing_changed_has_no_position(app):
    same = (await app.ask(RENAME, input={"name": "Acme"}))["rename"]

    assert (same["position"], same["projected"], same["workspace"]["name"]) == (None, True, "Acme")


@pytest.mark.parametrize(
    ("query", "code", "rule", "field"),
    [
        ('create(input: {name: "x", email: "no"})', "INVALID", "email.malformed", ["email"]),
        ("forbidden(input: {})", "RULE_VIOLATED", "workspace.sunday", ["name"]),
    ],
)
async def test_refusals_are_user_errors_with_a_rule_and_a_field(app, query, code, rule, field):
    answer = await app.ask(f"mutation {{ m: {query} {{ {SHOWN} }} }}")

    (error,) = answer["m"]["userErrors"]
    assert (error["code"], error["rule"], error["field"]) == (code, rule, field)


async def test_who_lacks_the_permission_is_told_so_and_nothing_is_recorded(app):
    refused = (await app.ask(CREATE, input=given(), who="sales"))["create"]
    members = await app.ask("{ members { totalCount } }")

    assert [error["code"] for error in refused["userErrors"]] == ["NOT_ALLOWED"]
    assert members["members"]["totalCount"] == 4


async def test_what_we_did_not_foresee_is_masked_with_an_id_and_logged_once(app, caplog):
    with caplog.at_level(logging.ERROR):
        response = await app.post("mutation { broken(input: {}) { position } }")

    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in response.text
    assert [record.name for record in caplog.records] == ["crm_es.api"]
    assert error["extensions"]["id"] in caplog.text
    assert "secret of the house" in caplog.text


async def test_reason_and_time_are_recorded_with_the_event(app):
    when = datetime(2025, 1, 2, tzinfo=UTC)
    await app.ask(CREATE, input=given(reason="because", occurredAt=when.isoformat()))

    event = (await app.ask('{ event(position: "6") { reason occurredAt actor { kind } } }'))["event"]

    assert event == {"reason": "because", "occurredAt": "2025-01-02T00:00:00Z", "actor": {"kind": "MEMBER"}}


async def test_an_answer_may_be_asked_for_at_a_position_or_later(app):
    created = (await app.ask(CREATE, input=given()))["create"]

    read = await app.post("{ members { totalCount } }", headers={"crm-min-position": created["position"]})

    assert read.json()["data"]["members"]["totalCount"] == 5
    assert int(read.json()["extensions"]["position"]) >= int(created["position"])


async def test_waiting_to_be_shown_holds_no_connection(app):
    context, connections = app.engine.resume(app.known["admin"], client=None, host=None), app.engine.connections
    others = [await connections.take() for _ in range(connections._room._value - 1)]
    await (await context.snapshot()).rows(SQL("SELECT 1"))

    await asyncio.wait_for(context.shown(), PATIENCE_SECONDS)

    for other in others:
        await connections.give(other, sound=True)
    await context.close()
