"""Which fields an event changed, and from what to what: of those that are no plain value of the state."""

from dataclasses import replace

import pytest

from crm_es.contacts import company
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.workspaces import api_key, member
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.role import Permission
from tests.api.test_contacts import UPDATE, register
from tests.api.test_interactions import REDACT, record
from tests.api.test_merging import merge, shown, two, unmerge

pytestmark = pytest.mark.anyio

TRAIL = """
query($id: ID!, $type: StringFilter, $fields: [String!]) {
  entity(id: $id) {
    ... on Contact { archivedAt } ... on Company { archivedAt } ... on Interaction { redactedAt } ... on Member { deactivatedAt }
    history(fields: $fields, filter: {type: $type}) { nodes { type changes { field from to masked } } }
  }
}"""
BY_FIELD = """
query($id: ID!, $field: String!) {
  events(filter: {entityId: {eq: $id}, field: {eq: $field}}) { nodes { type changes { field from to } } } }"""


async def changes(api, id_, topic):
    """(field, from, to) of the newest event with that topic, and the record as it is."""
    entity = (await api.ask(TRAIL, id=id_, type={"eq": topic}))["entity"]
    return {each["field"]: (each["from"], each["to"]) for each in entity["history"]["nodes"][0]["changes"]}, entity


async def moves(api, contact, field, who="admin"):
    """What the events that change the field say of it, newest first."""
    nodes = (await api.ask(TRAIL, id=contact["id"], fields=[field], who=who))["entity"]["history"]["nodes"]
    return [
        (node["type"], each["from"], each["to"])
        for node in nodes for each in node["changes"] if each["field"] == field
    ]  # fmt: skip


async def test_archiving_and_restoring_tell_since_when(api):
    contact = (await register(api))["id"]
    await api.ask("mutation($id: ID!) { archiveContact(input: {id: $id}) { position } }", id=contact)

    archived, entity = await changes(api, contact, "contact.archived")
    await api.ask("mutation($id: ID!) { restoreContact(input: {id: $id}) { position } }", id=contact)
    restored, _ = await changes(api, contact, "contact.restored")

    assert archived == {"recordStatus": ("ACTIVE", "ARCHIVED"), "archivedAt": (None, entity["archivedAt"])}
    assert entity["archivedAt"] is not None
    assert restored == {"recordStatus": ("ARCHIVED", "ACTIVE"), "archivedAt": (entity["archivedAt"], None)}


async def test_the_moments_of_other_records_are_told_too(api):
    acme = await api.begin(COMPANY, company.register(CompanyEdit(name="Acme"), id=api.workspace))
    await api.change(COMPANY, acme, company.archive)
    sales = api.known["sales"].member_id
    await api.change(member.MEMBER, sales, lambda one: member.deactivate(one, other_admins=1))
    await api.projected()

    archived, entity = await changes(api, api.id("Company", acme), "company.archived")
    left, person = await changes(api, api.id("Member", sales), "member.deactivated")

    assert archived["archivedAt"] == (None, entity["archivedAt"])
    assert left == {"deactivatedAt": (None, person["deactivatedAt"])}
    assert None not in (entity["archivedAt"], person["deactivatedAt"])


async def test_a_revoked_key_tells_when(api):
    expires = api.known["admin"].expires_at
    issued = api_key.issue(
        name="Shop", scopes=["sales"], secret_hmac="00", now=expires.min.replace(tzinfo=expires.tzinfo)
    )
    key = await api.begin(api_key.API_KEY, issued)
    await api.change(api_key.API_KEY, key, api_key.revoke)
    await api.projected()

    data = await api.ask(
        '{ events(filter: {type: {eq: "api_key.revoked"}}) { nodes { recordedAt changes { field from to } } } }',
        who="auditor",
    )

    (event,) = data["events"]["nodes"]
    assert event["changes"] == [{"field": "revokedAt", "from": None, "to": event["recordedAt"]}]


async def test_a_redaction_tells_when_and_nothing_derived(api):
    made = await record(api, subject="Call", body="Her PIN is 1234.")
    await api.ask(REDACT, input={"id": made["id"], "passages": ["1234"], "reason": "Too much."})

    redacted, entity = await changes(api, made["id"], "interaction.redacted")

    assert redacted["redactedAt"] == (None, entity["redactedAt"])
    assert redacted["body"][1] == "Her PIN is [redacted]."
    assert redacted.keys() == {"subject", "body", "redactedAt"}


async def test_every_move_of_the_primary_email_is_found_by_its_name(api):
    ada = await register(api, emails=[{"address": "ada@a.test"}])
    for edit in (
        {"addEmails": [{"address": "ada@b.test"}]},
        {"addEmails": [{"address": "ada@c.test", "primary": True}]},
        {"addEmails": [{"address": "ada@b.test", "primary": True}]},
        {"addEmails": [{"address": "ada@c.test", "label": "work"}]},
        {"removeEmails": ["ada@b.test"]},
        {"removeEmails": ["ada@c.test"]},
        {"removeEmails": ["ada@a.test"]},
    ):
        payload = (await api.ask(UPDATE, input={"id": ada["id"]} | edit))["updateContact"]
        assert payload["userErrors"] == [], payload
    listed = (await api.ask(BY_FIELD, who="auditor", id=ada["id"], field="primaryEmail"))["events"]["nodes"]

    assert await moves(api, ada, "primaryEmail") == [
        ("contact.email_removed", "ada@a.test", None),
        ("contact.email_removed", "ada@b.test", "ada@a.test"),
        ("contact.email_changed", "ada@c.test", "ada@b.test"),
        ("contact.email_added", "ada@a.test", "ada@c.test"),
        ("contact.registered", None, "ada@a.test"),
    ]
    assert [node["type"] for node in reversed(listed)] == [
        "contact.email_removed", "contact.email_removed", "contact.email_changed", "contact.email_added",
        "contact.registered",
    ]  # fmt: skip


async def test_a_merge_and_its_undoing_tell_of_the_primary_email(api):
    nameless = await register(api, displayName="No mail")
    _, king = await two(api)
    await merge(api, nameless, king)
    await unmerge(api, king)

    assert await moves(api, nameless, "primaryEmail") == [
        ("contact.released", "king@example.com", None),
        ("contact.merged", None, "king@example.com"),
    ]


async def test_an_unmerge_gives_the_mark_back_and_says_so(api):
    ada, king = await two(api)
    await merge(api, ada, king, keep=[{"field": "primaryEmail", "from": king["id"]}])
    kept = (await shown(api, ada))["primaryEmail"]
    await unmerge(api, king)

    assert (kept, (await shown(api, ada))["primaryEmail"]) == ("king@example.com", "ada@example.com")
    assert (await moves(api, ada, "primaryEmail"))[:2] == [
        ("contact.released", "king@example.com", "ada@example.com"),
        ("contact.merged", "ada@example.com", "king@example.com"),
    ]


async def test_the_primary_phone_is_masked_with_the_phones(api):
    ada = await register(api, phones=[{"number": "+4930111"}])
    await api.ask(UPDATE, input={"id": ada["id"], "addPhones": [{"number": "+4930222", "primary": True}]})
    seen = Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.WORKSPACE, fields=("emails",))
    api.known["short"] = replace(api.known["sales"], permissions=Permissions([seen]))

    assert await moves(api, ada, "primaryPhone") == [
        ("contact.phone_added", "+4930111", "+4930222"),
        ("contact.registered", None, "+4930111"),
    ]
    assert await moves(api, ada, "primaryPhone", who="short") == [
        ("contact.phone_added", None, None),
        ("contact.registered", None, None),
    ]
