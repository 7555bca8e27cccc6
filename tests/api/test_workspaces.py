"""The viewer, members, teams, roles, keys and views, as they are read."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from crm_es.values import EmailAddress
from crm_es.workspaces import api_key, member, role, saved_view, team, workspace
from crm_es.workspaces.actions import Action, EntityType, Scope

pytestmark = pytest.mark.anyio


async def test_the_viewer_is_a_member_with_roles_in_a_workspace(api):
    data = await api.ask(
        "{ viewer { member { id liveId name email label version viewerCan maskedFields team { name } roles { key name } }"
        " workspace { id name timeZone currency weekStartsOn } roles { id key name } position apiKey { id } } }"
    )

    viewer = data["viewer"]
    me = api.id("Member", api.known["admin"].member_id)
    assert viewer["workspace"] == {
        "id": api.id("Workspace", api.workspace), "name": "Acme", "timeZone": "Europe/Berlin", "currency": "USD",
        "weekStartsOn": 1,
    }  # fmt: skip
    assert viewer["member"] | {"viewerCan": ..., "roles": ...} == {
        "id": me, "liveId": me, "name": "Admin", "email": "admin@acme.test", "label": "Admin", "version": 1,
        "viewerCan": ..., "maskedFields": [], "team": None, "roles": ...,
    }  # fmt: skip
    assert viewer["member"]["roles"] == [{"key": "admin", "name": "Administrator"}]
    assert [each["key"] for each in viewer["roles"]] == ["admin"]
    assert viewer["apiKey"] is None


async def test_members_are_listed_by_name_with_their_teams_and_managers(api):
    sales = await api.begin(team.TEAM, team.create("Sales"))
    boss = api.known["admin"].member_id
    zoe = member.invite(
        name="Zoë", email=EmailAddress.parse("zoe@acme.test"), roles=("sales",), team_id=sales, manager_id=boss
    )
    await api.begin(member.MEMBER, zoe)
    await api.projected()

    data = await api.ask(
        "{ members(last: 2) { totalCount nodes { name team { name } manager { name } } } teams { name } }"
    )

    assert data["members"]["totalCount"] == 5
    assert data["members"]["nodes"][1] == {"name": "Zoë", "team": {"name": "Sales"}, "manager": {"name": "Admin"}}
    assert data["teams"] == [{"name": "Sales"}]


async def test_a_member_reads_as_recorded_at_any_position_and_refetches(api):
    id_ = api.known["sales"].member_id
    before = api.id("Member", id_, 5)
    await api.change(member.MEMBER, id_, lambda m: member.assign_roles(m, ("manager", "sales"), other_admins=1))
    await api.projected()

    data = await api.ask(
        "query($id: ID!, $past: ID!) { now: entity(id: $id) { ...M } then: entity(id: $id, asOf: {position: 5}) { ...M }"
        " node(id: $past) { id ...M } } fragment M on Entity { id liveId asOf version ... on Member { roles { key } } }",
        id=api.id("Member", id_),
        past=before,
    )

    assert data["now"] | {"roles": len(data["now"]["roles"])} == {
        "id": api.id("Member", id_), "liveId": api.id("Member", id_), "asOf": None, "version": 2, "roles": 2,
    }  # fmt: skip
    assert data["then"]["id"] == data["node"]["id"] == before
    assert data["then"]["roles"] == data["node"]["roles"] == [{"key": "sales"}]
    assert data["then"]["asOf"] == "5"


async def test_roles_are_the_built_in_ones_and_the_workspaces_own(api):
    own = role.Permission(type=EntityType.CONTACT, action=Action.READ, scope=Scope.OWN)
    await api.begin(role.ROLE, role.define(None, key="intern", name="Intern", permissions=[own]))
    await api.projected()

    data = await api.ask("{ roles { id key permissions { type action scope fields } } }")

    keys = [each["key"] for each in data["roles"]]
    assert keys == sorted(keys)
    assert {"admin", "auditor", "intern"} <= set(keys)
    intern = data["roles"][keys.index("intern")]
    assert intern["permissions"] == [{"type": "CONTACT", "action": "READ", "scope": "OWN", "fields": None}]
    refetched = await api.ask(
        "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Role { key } } }", ids=[r["id"] for r in data["roles"]]
    )
    assert [each["key"] for each in refetched["nodes"]] == keys


async def test_api_keys_are_for_administrators(api):
    issued = api_key.issue(name="Shop", scopes=("integration",), secret_hmac="x", now=datetime.now(UTC))
    id_ = api.id("ApiKey", await api.begin(api_key.API_KEY, issued))
    await api.projected()

    seen = await api.ask("{ apiKeys { id name scopes revokedAt } }")
    refused = (await api.post("{ apiKeys { id } viewer { expiresAt } }", who="sales")).json()
    by_id = (await api.post("query($id: ID!) { node(id: $id) { id } }", who="sales", variables={"id": id_})).json()

    assert seen["apiKeys"] == [{"id": id_, "name": "Shop", "scopes": ["integration"], "revokedAt": None}]
    assert refused["data"]["apiKeys"] is None
    assert refused["data"]["viewer"]
    assert refused["errors"][0]["extensions"]["code"] == by_id["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_views_are_seen_by_their_owner_unless_shared(api):
    mine, other = api.known["admin"].member_id, api.known["sales"].member_id
    given = {"target": EntityType.CONTACT, "filter": {"email": {"eq": "x"}}}
    await api.begin(saved_view.SAVED_VIEW, saved_view.save(None, name="Mine", by=mine, **given))
    await api.begin(saved_view.SAVED_VIEW, saved_view.save(None, name="Theirs", by=other, **given))
    await api.begin(saved_view.SAVED_VIEW, saved_view.save(None, name="Shared", by=other, shared=True, **given))
    await api.projected()

    data = await api.ask("{ savedViews(target: CONTACT) { name filter columns shared owner { name } } }")
    none = await api.ask("{ savedViews(target: COMPANY) { name } }")

    assert [each["name"] for each in data["savedViews"]] == ["Mine", "Shared"]
    assert data["savedViews"][1] == {
        "name": "Shared", "filter": {"email": {"eq": "x"}}, "columns": None, "shared": True, "owner": {"name": "Sales"},
    }  # fmt: skip
    assert none["savedViews"] == []


async def test_ids_of_another_workspace_are_like_unknown_ones(api):
    stranger = api.id("Member", uuid4())
    malformed = (await api.post('{ node(id: "nonsense") { id } }')).json()

    data = await api.ask(
        "query($id: ID!) { node(id: $id) { id } entity(id: $id) { id } member(id: $id) { id } nodes(ids: [$id]) { id } }",
        id=stranger,
    )

    assert data == {"node": None, "entity": None, "member": None, "nodes": [None]}
    assert malformed["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "rule": "id.malformed", "field": ["id"]}


async def test_days_begin_where_the_workspace_is(api):
    token = api.token(api.known["sales"].member_id)
    first = await api.engine.begin(token, client=None, host=None)
    await api.change(workspace.WORKSPACE, api.workspace, lambda it: workspace.update(it, time_zone="Asia/Tokyo"))
    await api.projected()
    second = await api.engine.begin(token, client=None, host=None)

    assert [context.reads.viewer.time_zone for context in (first, second)] == ["Europe/Berlin", "Asia/Tokyo"]
