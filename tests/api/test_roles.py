"""Roles as records: defined, held, changed, without anybody starting anew."""

import pytest

from crm_es.api import ids

pytestmark = pytest.mark.anyio

DEFINE = """mutation($input: DefineRoleInput!) { defineRole(input: $input) {
  role { id key name permissions { type action scope fields } } position replayed userErrors { code rule field } } }"""
INVITE = "mutation($input: InviteMemberInput!) { inviteMember(input: $input) { member { id } userErrors { rule } } }"
REGISTER = 'mutation { registerContact(input: {displayName: "Ada"}) { userErrors { code rule field } } }'
READ = {"type": "CONTACT", "action": "READ", "scope": "WORKSPACE"}
CREATE = {"type": "CONTACT", "action": "CREATE", "scope": "WORKSPACE"}


def caller(*permissions, **more):
    return {"key": "caller", "name": "Caller", "permissions": list(permissions), "reason": "Call centre"} | more


async def test_a_defined_role_takes_effect_without_a_restart(api):
    defined = (await api.ask(DEFINE, input=caller(READ)))["defineRole"]
    invited = await api.ask(INVITE, input={"name": "Cal", "email": "cal@acme.test", "roles": ["caller"]})
    token = api.token(ids.decode(invited["inviteMember"]["member"]["id"]).id)
    before = await api.refused(REGISTER, who=token)

    changed = (await api.ask(DEFINE, input=caller(READ, CREATE)))["defineRole"]
    after = await api.refused(REGISTER, who=token)

    assert defined["role"] | {"id": ...} == {
        "id": ..., "key": "caller", "name": "Caller", "permissions": [READ | {"fields": None}],
    }  # fmt: skip
    assert changed["role"]["id"] == defined["role"]["id"]
    assert before == [("NOT_ALLOWED", "permission.denied", None)]
    assert after == []


async def test_a_role_that_shows_some_fields_withholds_the_others(api):
    await api.ask(DEFINE, input=caller(READ | {"fields": ["phones"]}, CREATE))
    invited = await api.ask(INVITE, input={"name": "Cal", "email": "cal@acme.test", "roles": ["caller"]})
    token = api.token(ids.decode(invited["inviteMember"]["member"]["id"]).id)
    email = 'mutation { registerContact(input: {displayName: "Ada", emails: [{address: "ada@x.test"}]}) { contact { id } } }'
    await api.ask(email)

    shown = await api.ask(
        "{ contacts { nodes { displayName primaryEmail phones { number } maskedFields } } }", who=token
    )

    (contact,) = shown["contacts"]["nodes"]
    assert (contact["displayName"], contact["primaryEmail"], contact["phones"]) == ("Ada", None, [])
    assert "emails" in contact["maskedFields"]


async def test_a_role_is_defined_for_a_reason_by_an_administrator(api):
    assert await api.refused(DEFINE, input=caller(reason=None)) == [("INVALID", "reason.required", ["reason"])]
    assert await api.refused(DEFINE, who="sales", input=caller()) == [("NOT_ALLOWED", "permission.denied", None)]


async def test_what_cannot_be_a_role_is_refused_where_it_stands(api):
    assert await api.refused(DEFINE, input=caller(key="Not a key")) == [("INVALID", "role.malformed_key", ["key"])]
    assert await api.refused(DEFINE, input=caller(key="admin")) == [("RULE_VIOLATED", "role.built_in", ["key"])]
    assert await api.refused(DEFINE, input=caller(READ | {"fields": ["shoeSize"]})) == [
        ("INVALID", "role.unknown_field", ["permissions", "0", "fields", "0"])
    ]


async def test_defining_a_role_as_it_is_records_nothing(api):
    await api.ask(DEFINE, input=caller(READ))

    again = (await api.ask(DEFINE, input=caller(READ)))["defineRole"]

    assert again["position"] is None
    assert again["role"]["key"] == "caller"
