"""What `viewerCan` says is what a screen may offer: by role, whose record it is, and the state it is in."""

from dataclasses import replace

import pytest

from crm_es.workspaces import member
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.role import Permission
from tests.api.conftest import identity

pytestmark = pytest.mark.anyio

REGISTER = "mutation($i: RegisterContactInput!) { registerContact(input: $i) { contact { id viewerCan } position } }"
LOOKING = {"READ", "REVEAL", "EXPORT", "AUDIT"}


async def registered(api, name: str, **more) -> str:
    payload = (await api.ask(REGISTER, i={"displayName": name, **more}))["registerContact"]
    return payload["contact"]["id"]


async def can(api, id_: str, *, who: str = "admin") -> set[str]:
    data = await api.ask("query($id: ID!) { entity(id: $id) { viewerCan } }", who=who, id=id_)
    return set(data["entity"]["viewerCan"])


async def test_an_archived_contact_can_be_restored_but_not_changed(api):
    id_ = await registered(api, "Ada")
    active = await can(api, id_)

    await api.ask("mutation($id: ID!) { archiveContact(input: {id: $id}) { position } }", id=id_)

    assert {"UPDATE", "ASSIGN", "MERGE", "ARCHIVE"} <= active
    assert await can(api, id_) == (active & LOOKING) | {"ARCHIVE", "ERASE"}


async def test_an_archived_company_can_be_restored_but_not_changed(api):
    company = await api.ask('mutation { registerCompany(input: {name: "Acme"}) { company { id } } }')
    id_ = company["registerCompany"]["company"]["id"]
    active = await can(api, id_)

    await api.ask("mutation($id: ID!) { archiveCompany(input: {id: $id}) { position } }", id=id_)

    assert "UPDATE" in active
    assert {"ARCHIVE", "READ"} <= await can(api, id_) <= LOOKING | {"ARCHIVE", "ERASE"}


async def test_of_a_merged_contact_nothing_is_left_but_to_read_it(api):
    survivor, absorbed = await registered(api, "Ada"), await registered(api, "Ada L")

    merge = "mutation($i: MergeContactsInput!) { mergeContacts(input: $i) { userErrors { message } } }"
    await api.ask(merge, i={"survivorId": survivor, "absorbedId": absorbed, "reason": "the same person"})

    assert await can(api, absorbed) == {"READ"}
    assert "UPDATE" in await can(api, survivor)


async def test_the_past_can_be_looked_at_alone(api):
    payload = await api.ask(REGISTER, i={"displayName": "Ada"})
    made, position = (payload["registerContact"][key] for key in ("contact", "position"))
    past = "query($id: ID!, $p: Position!) { contact(id: $id, asOf: {position: $p}) { viewerCan } }"

    data = await api.ask(past, id=made["id"], p=position)

    assert set(data["contact"]["viewerCan"]) == set(made["viewerCan"]) & LOOKING


async def test_whoever_may_change_his_own_alone_is_offered_his_own_alone(api):
    own = [
        Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.WORKSPACE),
        Permission(type=EntityType.CONTACT, action=Action.UPDATE, scope=Scope.OWN),
    ]
    known = api.known["sales"]
    api.known["own"] = replace(identity(api.workspace, id=known.member_id), permissions=Permissions(own))
    mine = await registered(api, "Ada", ownerId=api.id("Member", known.member_id))
    other = await registered(api, "Bob", ownerId=api.id("Member", api.known["admin"].member_id))

    assert await can(api, mine, who="own") == {"READ", "UPDATE"}
    assert await can(api, other, who="own") == {"READ"}


async def test_with_one_who_left_nothing_can_be_changed(api):
    id_ = api.known["auditor"].member_id
    await api.change(member.MEMBER, id_, lambda state: member.deactivate(state, other_admins=1))
    await api.projected()

    assert await can(api, api.id("Member", id_)) <= LOOKING | {"ERASE"}
