"""API keys as programs use them: issued, used within their scopes, rotated, revoked, expired."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_es.api import ids
from tests.waiting import soon

pytestmark = pytest.mark.anyio

KEY = "apiKey { id name scopes expiresAt revokedAt } secret position replayed userErrors { code rule field }"
ISSUE = f"mutation($input: IssueApiKeyInput!) {{ issueApiKey(input: $input) {{ {KEY} }} }}"
ROTATE = f"mutation($input: RotateApiKeyInput!) {{ rotateApiKey(input: $input) {{ {KEY} }} }}"
REVOKE = f"mutation($input: RevokeApiKeyInput!) {{ revokeApiKey(input: $input) {{ {KEY.replace('secret', '')} }} }}"
ME = "{ viewer { member { id } apiKey { id name } permissions { type action } roles { key } } }"
REGISTER = 'mutation { registerContact(input: {displayName: "Ada"}) { contact { id } userErrors { code rule field } } }'


async def issued(api, *scopes, **more):
    given = {"name": "Shop", "scopes": list(scopes)} | more
    payload = (await api.ask(ISSUE, input=given))["issueApiKey"]
    assert payload["userErrors"] == []
    return payload


async def status(api, secret):
    return (await api.post(ME, who=secret)).status_code


async def test_a_key_does_exactly_what_its_scopes_say(api):
    writer, reader = await issued(api, "integration"), await issued(api, "auditor")

    me = (await api.ask(ME, who=writer["secret"]))["viewer"]
    written = (await api.ask(REGISTER, who=writer["secret"]))["registerContact"]
    refused = await api.refused(REGISTER, who=reader["secret"])
    seen = await api.ask(
        "{ contacts { nodes { id } } events(last: 1) { nodes { actor { kind name } } } }", who=reader["secret"]
    )
    audited = (await api.post("{ events(last: 1) { nodes { id } } }", who=writer["secret"])).json()

    assert me["apiKey"] == {"id": writer["apiKey"]["id"], "name": "Shop"}
    assert (me["member"], me["roles"]) == (None, [{"key": "integration"}])
    assert written["userErrors"] == []
    assert refused == [("NOT_ALLOWED", "permission.denied", None)]
    assert seen["contacts"]["nodes"] == [written["contact"]]
    assert seen["events"]["nodes"] == [{"actor": {"kind": "API_KEY", "name": "Shop"}}]
    assert audited["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_the_secret_is_shown_once_and_stored_nowhere(api):
    command = str(uuid4())

    first = await issued(api, "integration", commandId=command)
    second = await issued(api, "integration", commandId=command)

    assert first["secret"].startswith("crm_")
    assert second == first | {"secret": None, "replayed": True}
    stream = ids.decode(first["apiKey"]["id"]).id
    stored = await api.engine.store.stored(api.workspace, stream, 1)
    assert first["secret"].rpartition("_")[2].encode() not in stored


async def test_a_rotated_key_takes_the_new_secret_alone(api):
    old = await issued(api, "integration")
    given = {"id": old["apiKey"]["id"], "commandId": str(uuid4())}
    assert await status(api, old["secret"]) == 200

    new = (await api.ask(ROTATE, input=given))["rotateApiKey"]
    again = (await api.ask(ROTATE, input=given))["rotateApiKey"]

    assert (await status(api, old["secret"]), await status(api, new["secret"])) == (401, 200)
    assert again == new | {"secret": None, "replayed": True}


async def test_a_revoked_key_is_refused_for_ever(api):
    key = await issued(api, "integration")
    assert await status(api, key["secret"]) == 200

    payload = (await api.ask(REVOKE, input={"id": key["apiKey"]["id"]}))["revokeApiKey"]

    assert payload["apiKey"]["revokedAt"] is not None
    assert await status(api, key["secret"]) == 401
    assert await api.refused(ROTATE, input={"id": key["apiKey"]["id"]}) == [("RULE_VIOLATED", "api_key.revoked", None)]


async def test_an_expired_key_is_refused(api):
    given = {"name": "Shop", "scopes": ["integration"]}
    for seconds in (1, 4, 16, 64):  # until we are faster than the key
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        key = (await api.ask(ISSUE, input=given | {"expiresAt": end.isoformat()}))["issueApiKey"]
        if key["secret"] and await status(api, key["secret"]) == 200:
            break
    else:
        pytest.fail("no key was ever taken")

    await soon(lambda: datetime.now(UTC) > end)

    assert await status(api, key["secret"]) == 401


async def test_what_cannot_be_a_key_is_refused_where_it_stands(api):
    given = {"name": "Shop", "scopes": ["integration"]}

    assert await api.refused(ISSUE, input=given | {"scopes": []}) == [("INVALID", "api_key.no_scope", ["scopes"])]
    assert await api.refused(ISSUE, input=given | {"scopes": ["king"]}) == [
        ("INVALID", "role.unknown", ["scopes", "0"])
    ]
    assert await api.refused(ISSUE, input=given | {"expiresAt": "2020-01-01T00:00:00Z"}) == [
        ("INVALID", "api_key.expired", ["expiresAt"])
    ]
    assert await api.refused(ISSUE, who="sales", input=given) == [("NOT_ALLOWED", "permission.denied", None)]


async def test_another_workspaces_key_is_not_found(api):
    there = ids.encode("ApiKey", uuid4())

    for change in (ROTATE, REVOKE):
        assert await api.refused(change, input={"id": there}) == [("NOT_FOUND", "record.not_found", None)]
    assert await api.refused(REVOKE, input={"id": ids.encode("Team", uuid4())}) == [
        ("INVALID", "id.wrong_type", ["id"])
    ]


async def test_its_last_use_is_told_within_a_minute(api):
    used, idle = await issued(api, "integration"), await issued(api, "auditor")
    before = datetime.now(UTC)
    await api.post(ME, who=used["secret"])
    await api.post(ME, who=idle["secret"] + "x")

    async def told():
        keys = {each["id"]: each["lastUsedAt"] for each in (await api.ask("{ apiKeys { id lastUsedAt } }"))["apiKeys"]}
        return keys if keys[used["apiKey"]["id"]] else None

    keys = await soon(told)
    assert before <= datetime.fromisoformat(keys[used["apiKey"]["id"]]) <= datetime.now(UTC)
    assert keys[idle["apiKey"]["id"]] is None
