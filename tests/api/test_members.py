"""Members from a mutation to what pages show: inviting, registering, roles, deactivating, handing on what they owned."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from crm_es.api import ids
from crm_es.contacts import company, editing
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit
from crm_es.errors import UnavailableError
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done as on_desk
from tests.api.desk import queue, ticket
from tests.api.selling import a_deal, a_pipeline, act, usd

pytestmark = pytest.mark.anyio

MEMBER = "member { id version name email roles { key } team { id name } manager { id } deactivatedAt }"
COUNTS = "contacts companies deals tickets"
DONE = "position projected replayed userErrors { __typename code rule field ... on AlreadyExists { existing { id } } }"
INVITE = f"mutation($input: InviteMemberInput!) {{ inviteMember(input: $input) {{ {MEMBER} {DONE} }} }}"
REGISTER = f"mutation($input: RegisterMemberInput!) {{ registerMember(input: $input) {{ {MEMBER} {DONE} }} }}"
ASSIGN = f"mutation($input: AssignRolesInput!) {{ assignRoles(input: $input) {{ {MEMBER} {DONE} }} }}"
DEACTIVATE = f"mutation($input: DeactivateMemberInput!) {{ deactivateMember(input: $input) {{ {MEMBER} {DONE} }} }}"
REASSIGN = (
    f"mutation($input: ReassignRecordsInput!) {{ reassignRecords(input: $input) {{ {MEMBER} {COUNTS} {DONE} }} }}"
)
CREATE_TEAM = f"mutation($input: CreateTeamInput!) {{ createTeam(input: $input) {{ team {{ id name }} {DONE} }} }}"
UPDATE_TEAM = f"mutation($input: UpdateTeamInput!) {{ updateTeam(input: $input) {{ team {{ id name }} {DONE} }} }}"


def zoe(**more):
    return {"name": "Zoë", "email": "zoe@acme.test", "roles": ["sales"]} | more


async def invited(api, **more):
    payload = (await api.ask(INVITE, input=zoe(**more)))["inviteMember"]
    assert payload["userErrors"] == []
    return payload["member"]


async def test_an_invited_member_is_answered_with_roles_team_and_manager(api):
    made = (await api.ask(CREATE_TEAM, input={"name": "Field"}))["createTeam"]["team"]
    boss = api.id("Member", api.known["admin"].member_id)

    payload = (await api.ask(INVITE, input=zoe(teamId=made["id"], managerId=boss)))["inviteMember"]

    assert payload["member"] | {"id": ...} == {
        "id": ..., "version": 1, "name": "Zoë", "email": "zoe@acme.test", "roles": [{"key": "sales"}], "team": made,
        "manager": {"id": boss}, "deactivatedAt": None,
    }  # fmt: skip
    assert (payload["projected"], payload["replayed"]) == (True, False)


async def test_what_cannot_be_a_member_is_refused_where_it_stands(api):
    member = await invited(api)
    stranger = ids.encode("Member", uuid4())

    taken = (await api.ask(INVITE, input=zoe(email="ZOE@acme.test")))["inviteMember"]["userErrors"]

    assert taken == [
        {"__typename": "AlreadyExists", "code": "ALREADY_EXISTS", "rule": "member_email.taken", "field": ["email"],
         "existing": {"id": member["id"]}}
    ]  # fmt: skip
    assert await api.refused(INVITE, input=zoe(email="nobody")) == [("INVALID", "email.malformed", ["email"])]
    assert await api.refused(INVITE, input=zoe(roles=[])) == [("INVALID", "member.no_role", ["roles"])]
    assert await api.refused(INVITE, input=zoe(roles=["sales", "king"])) == [
        ("INVALID", "role.unknown", ["roles", "1"])
    ]
    assert await api.refused(INVITE, input=zoe(name=" ")) == [("INVALID", "text.blank", ["name"])]
    assert await api.refused(INVITE, input=zoe(email="new@acme.test", managerId=stranger)) == [
        ("NOT_FOUND", "record.not_found", ["managerId"])
    ]
    assert await api.refused(INVITE, who="sales", input=zoe(email="new@acme.test")) == [
        ("NOT_ALLOWED", "permission.denied", None)
    ]


async def test_a_registered_member_needs_no_email_and_is_known_by_external_ids(api):
    known = [{"system": "crm-sales", "value": "Anna Snelling"}]

    payload = (await api.ask(REGISTER, input={"name": "Anna Snelling", "externalIds": known}))["registerMember"]
    again = await api.refused(REGISTER, input={"name": "Anna", "externalIds": [{"system": "x", "value": "y"}, *known]})

    assert payload["userErrors"] == []
    assert (payload["member"]["email"], payload["member"]["roles"]) == (None, [])
    assert again == [("ALREADY_EXISTS", "external_id.taken", ["externalIds", "1"])]


async def test_the_same_command_makes_one_member_and_another_input_is_told_apart(api):
    command = str(uuid4())

    first = (await api.ask(INVITE, input=zoe(commandId=command)))["inviteMember"]
    second = (await api.ask(INVITE, input=zoe(commandId=command)))["inviteMember"]
    other = await api.refused(INVITE, input=zoe(commandId=command, name="Zoe"))

    assert (second["member"]["id"], second["position"]) == (first["member"]["id"], first["position"])
    assert (first["replayed"], second["replayed"]) == (False, True)
    assert other == [("COMMAND_ID_REUSED", "command.reused", None)]


async def test_roles_are_assigned_for_a_reason_and_hold_from_the_next_request_on(api):
    member = await invited(api)
    token = api.token(ids.decode(member["id"]).id)
    given = {"memberId": member["id"], "roles": ["auditor"]}
    audit = "{ events(first: 1) { nodes { reason } } }"
    before = (await api.post(audit, who=token)).json()

    silent = await api.refused(ASSIGN, input=given)
    payload = (await api.ask(ASSIGN, input=given | {"reason": "Moved to audit"}))["assignRoles"]
    after = await api.ask("{ events(last: 1) { nodes { reason type } } }", who=token)

    assert before["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert silent == [("INVALID", "reason.required", ["reason"])]
    assert payload["member"]["roles"] == [{"key": "auditor"}]
    assert after["events"]["nodes"] == [{"reason": "Moved to audit", "type": "member.roles_assigned"}]


async def test_the_last_admin_cannot_be_removed(api):
    admin = api.id("Member", api.known["admin"].member_id)
    demoted = {"memberId": admin, "roles": ["sales"], "reason": "Why not"}
    last = [("RULE_VIOLATED", "member.last_admin", None)]

    assert await api.refused(ASSIGN, input=demoted) == last
    assert await api.refused(DEACTIVATE, input={"id": admin}) == last

    other = await invited(api, roles=["admin"])
    assert await api.refused(DEACTIVATE, input={"id": admin}) == []
    assert await api.refused(DEACTIVATE, input={"id": other["id"]}) == last


async def test_admins_who_remove_each_other_at_once_leave_one(api):
    admin = api.id("Member", api.known["admin"].member_id)
    for turn in range(3):
        other = await invited(api, roles=["admin"], email=f"admin{turn}@acme.test")

        refused = await asyncio.gather(
            api.refused(DEACTIVATE, input={"id": admin}), api.refused(DEACTIVATE, input={"id": other["id"]})
        )

        assert sorted(refused) == [[], [("RULE_VIOLATED", "member.last_admin", None)]]
        admin = other["id"] if refused[0] == [] else admin


async def test_a_deactivated_members_token_is_refused(api):
    member = await invited(api)
    token = api.token(ids.decode(member["id"]).id)
    before = await api.ask("{ viewer { member { name } } }", who=token)

    payload = (await api.ask(DEACTIVATE, input={"id": member["id"]}))["deactivateMember"]
    after = await api.post("{ viewer { member { name } } }", who=token)

    assert before["viewer"]["member"]["name"] == "Zoë"
    assert payload["member"]["deactivatedAt"] is not None
    assert after.status_code == 401
    assert await api.refused(DEACTIVATE, input={"id": member["id"]}) == [("RULE_VIOLATED", "member.deactivated", None)]
    assert (await invited(api))["email"] == "zoe@acme.test"


async def test_records_of_a_deactivated_member_go_to_another_in_chunks(api, monkeypatch):
    monkeypatch.setattr("crm_es.workspaces.reassign_mutations.CHUNK", 2)
    gone, heir = await invited(api), await invited(api, email="heir@acme.test")
    owner = ids.decode(gone["id"]).id
    for number in range(3):
        await api.begin(CONTACT, editing.register(ContactEdit(display_name=f"C{number}", owner_id=owner)))
    firm = uuid4()
    await api.begin(COMPANY, company.register(CompanyEdit(name="Firm", owner_id=owner), id=firm), id=firm)
    await api.begin(CONTACT, editing.register(ContactEdit(display_name="Free")))
    await api.projected()
    given = {"fromId": gone["id"], "toId": heir["id"], "commandId": str(uuid4()), "reason": "Left"}

    active = await api.refused(REASSIGN, input=given)
    await api.ask(DEACTIVATE, input={"id": gone["id"]})
    done = (await api.ask(REASSIGN, input=given))["reassignRecords"]
    again = (await api.ask(REASSIGN, input=given))["reassignRecords"]

    assert active == [("RULE_VIOLATED", "member.active", ["fromId"])]
    assert (done["contacts"], done["companies"], done["member"]["id"]) == (3, 1, heir["id"])
    assert again == done | {"replayed": True}
    owners = await api.ask("{ contacts { nodes { displayName owner { id } } } companies { nodes { owner { id } } } }")
    assert {each["displayName"]: each["owner"] and each["owner"]["id"] for each in owners["contacts"]["nodes"]} == {
        "C0": heir["id"], "C1": heir["id"], "C2": heir["id"], "Free": None,
    }  # fmt: skip
    assert owners["companies"]["nodes"] == [{"owner": {"id": heir["id"]}}]
    trail = await api.ask("{ events(last: 4) { nodes { type reason correlationId commandId } } }")
    events = trail["events"]["nodes"]
    assert {each["reason"] for each in events} == {"Left"}
    assert len({each["correlationId"] for each in events}) == 1
    assert len({each["commandId"] for each in events}) == 2


@pytest.fixture
async def busy(api):
    """A member who left with deals (open, won, archived), tickets (open, resolved, closed, merged), and others' beside them."""
    gone, heir = await invited(api), await invited(api, email="heir@acme.test")
    board, help_ = await a_pipeline(api), await queue(api)
    theirs = {"ownerId": gone["id"], "amount": usd("5.00"), "occurredAt": "2025-01-01T00:00:00Z"}
    deals = [await a_deal(api, board, **theirs) for _ in range(3)]
    await act(api, "winDeal", deals[1])
    await act(api, "archiveDeal", deals[2])
    free = await a_deal(api, board, ownerId=heir["id"])
    tickets = [await ticket(api, help_) for _ in range(5)]
    for each in tickets[:4]:
        await on_desk(api, "assignTicket", id=each["id"], assigneeId=gone["id"])
    await on_desk(api, "resolveTicket", id=tickets[1]["id"])
    await on_desk(api, "closeTicket", id=tickets[2]["id"])
    await on_desk(api, "mergeTickets", survivorId=tickets[0]["id"], absorbedId=tickets[3]["id"], reason="the same")
    await api.ask(DEACTIVATE, input={"id": gone["id"]})
    ids_ = {"deals": [each["id"] for each in (*deals, free)], "tickets": [each["id"] for each in tickets]}
    return gone, heir, ids_


HELD = """query($ids: [ID!]!) { nodes(ids: $ids) {
  ... on Deal { owner { id } became: status recordStatus } ... on Ticket { assignee { id } status } } }"""


async def test_deals_and_tickets_of_a_deactivated_member_go_to_another(api, busy, monkeypatch):
    monkeypatch.setattr("crm_es.workspaces.reassign_mutations.CHUNK", 2)
    gone, heir, ids_ = busy
    given = {"fromId": gone["id"], "toId": heir["id"], "commandId": str(uuid4()), "reason": "Left"}

    done = (await api.ask(REASSIGN, input=given))["reassignRecords"]
    again = (await api.ask(REASSIGN, input=given))["reassignRecords"]

    assert (done["contacts"], done["companies"], done["deals"], done["tickets"]) == (0, 0, 3, 2)
    assert done["projected"]
    assert again == done | {"replayed": True}
    deals = (await api.ask(HELD, ids=ids_["deals"]))["nodes"]
    assert [(each["owner"], each["became"], each["recordStatus"]) for each in deals] == [
        ({"id": heir["id"]}, status, life)
        for status, life in (("OPEN", "ACTIVE"), ("WON", "ACTIVE"), ("OPEN", "ARCHIVED"), ("OPEN", "ACTIVE"))
    ]
    tickets = (await api.ask(HELD, ids=ids_["tickets"]))["nodes"]
    assert [(each["assignee"] and each["assignee"]["id"], each["status"]) for each in tickets] == [
        (heir["id"], "OPEN"), (heir["id"], "RESOLVED"), (gone["id"], "CLOSED"), (gone["id"], "MERGED"), (None, "NEW"),
    ]  # fmt: skip
    trail = (await api.ask("{ events(last: 5) { nodes { type reason correlationId } } }"))["events"]["nodes"]
    assert [each["type"] for each in trail] == ["deal.owner_changed"] * 3 + ["ticket.assigned"] * 2
    assert {each["reason"] for each in trail} == {"Left"}
    assert len({each["correlationId"] for each in trail}) == 1


async def test_an_early_date_of_a_handing_on_stands_in_no_records_way(api, busy):
    gone, heir, _ = busy

    done = (
        await api.ask(REASSIGN, input={"fromId": gone["id"], "toId": heir["id"], "occurredAt": "2024-01-01T00:00:00Z"})
    )["reassignRecords"]

    assert (done["userErrors"], done["deals"], done["tickets"]) == ([], 3, 2)


async def test_whoever_hands_on_hands_on_what_they_may_assign(api, busy):
    gone, heir, ids_ = busy
    kinds = (EntityType.CONTACT, EntityType.COMPANY, EntityType.DEAL, EntityType.TICKET)
    for name, granted in {
        "half": may((Action.READ, Action.ASSIGN), kinds[1:]),
        "near": (*may((Action.READ, Action.ASSIGN), kinds[:3]), *may((Action.ASSIGN,), kinds[3:], Scope.TEAM)),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))
    given = {"fromId": gone["id"], "toId": heir["id"]}

    assert await api.refused(REASSIGN, who="half", input=given) == [("NOT_ALLOWED", "permission.denied", None)]
    done = (await api.ask(REASSIGN, who="near", input=given))["reassignRecords"]

    assert (done["userErrors"], done["contacts"], done["deals"], done["tickets"]) == ([], 0, 3, None)
    (still,) = (await api.ask(HELD, ids=ids_["tickets"][:1]))["nodes"]
    assert still["assignee"] == {"id": gone["id"]}


async def test_an_interrupted_handing_on_is_taken_up_again(api, monkeypatch):
    monkeypatch.setattr("crm_es.workspaces.reassign_mutations.CHUNK", 2)
    gone, heir = await invited(api), await invited(api, email="heir@acme.test")
    owner = ids.decode(gone["id"]).id
    for number in range(5):
        await api.begin(CONTACT, editing.register(ContactEdit(display_name=f"C{number}", owner_id=owner)))
    deal = await a_deal(api, await a_pipeline(api), ownerId=gone["id"])
    await api.projected()
    await api.ask(DEACTIVATE, input={"id": gone["id"]})
    given = {"fromId": gone["id"], "toId": heir["id"], "commandId": str(uuid4())}
    whole, calls = type(api.engine.store).transact, []

    async def once(store, command, *more):
        calls.append(command)
        if len(calls) > 1:
            raise UnavailableError("The power went.")
        return await whole(store, command, *more)

    with monkeypatch.context() as crash:
        crash.setattr(type(api.engine.store), "transact", once)
        assert "errors" in (await api.post(REASSIGN, variables={"input": given})).json()
    done = (await api.ask(REASSIGN, input=given))["reassignRecords"]

    assert done["userErrors"] == []
    owners = await api.ask("{ contacts { nodes { version owner { id } } } }")
    assert [(each["version"], each["owner"]["id"]) for each in owners["contacts"]["nodes"]] == [(2, heir["id"])] * 5
    assert (await api.ask(HELD, ids=[deal["id"]]))["nodes"][0]["owner"] == {"id": heir["id"]}


async def test_nothing_to_hand_on_is_no_event(api):
    gone, heir = await invited(api), await invited(api, email="heir@acme.test")
    await api.ask(DEACTIVATE, input={"id": gone["id"]})

    done = (await api.ask(REASSIGN, input={"fromId": gone["id"], "toId": heir["id"]}))["reassignRecords"]

    assert (done["position"], done["contacts"], done["userErrors"]) == (None, 0, [])


async def test_a_team_is_made_renamed_and_found_under_one_name(api):
    made = (await api.ask(CREATE_TEAM, input={"name": "Field"}))["createTeam"]["team"]
    other = (await api.ask(CREATE_TEAM, input={"name": "Desk"}))["createTeam"]["team"]

    renamed = (await api.ask(UPDATE_TEAM, input={"id": made["id"], "name": "Field sales"}))["updateTeam"]

    assert renamed["team"] == {"id": made["id"], "name": "Field sales"}
    assert await api.refused(CREATE_TEAM, input={"name": "DESK"}) == [("ALREADY_EXISTS", "team.taken", ["name"])]
    assert await api.refused(UPDATE_TEAM, input={"id": other["id"], "name": "field sales"}) == [
        ("ALREADY_EXISTS", "team.taken", ["name"])
    ]


async def test_ids_of_another_workspace_are_not_found(api):
    there = ids.encode("Member", uuid4())
    missing = [("NOT_FOUND", "record.not_found", None)]

    assert await api.refused(DEACTIVATE, input={"id": there}) == missing
    assert await api.refused(ASSIGN, input={"memberId": there, "roles": [], "reason": "x"}) == missing
    assert await api.refused(UPDATE_TEAM, input={"id": ids.encode("Team", uuid4()), "name": "x"}) == missing
    assert await api.refused(REASSIGN, input={"fromId": there, "toId": there}) == [
        ("NOT_FOUND", "record.not_found", ["fromId"])
    ]
