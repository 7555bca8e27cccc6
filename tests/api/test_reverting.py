"""Taking back a command, its rows or a merge: what nobody changed since is as before, the rest is listed."""

from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.contacts import editing
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit
from crm_es.errors import UnavailableError
from crm_es.eventstore.event import Actor, ActorKind, ImportOrigin, Origin
from crm_es.reverting import runs
from crm_es.serving.reverting import Reverter
from crm_es.workspaces import revert_mutations
from tests.api.desk import queue, ticket
from tests.api.desk import shown as desk_shown
from tests.api.test_contacts import PROBLEMS, UPDATE, register
from tests.api.test_merging import merge, shown, two
from tests.waiting import soon

pytestmark = pytest.mark.anyio
JOB = "id status error progress { done total rejected }"
REVERT = f"""
mutation($input: RevertCommandInput!) {{ revertCommand(input: $input) {{
  position replayed projected reverted {{ type version entity {{ id version }} }}
  skipped {{ event {{ id type version }} blockedBy {{ version actor {{ name }} recordedAt }} message }}
  job {{ {JOB} }} {PROBLEMS} }} }}"""
BULK = f"""
mutation($input: UpdateContactsInput!) {{ updateContacts(input: $input) {{
  position rows {{ contact {{ id }} userErrors {{ rule }} }} {PROBLEMS} }} }}"""
CARDS = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Contact {
  displayName jobTitle tags owner { id } emails { address primary } recordStatus } } }"""


async def revert(api, who="admin", **sent):
    return (await api.ask(REVERT, who=who, input={"reason": "a mistake"} | sent))["revertCommand"]


async def three(api):
    return [
        await register(api, displayName=f"C{n}", jobTitle="Pilot", emails=[{"address": f"c{n}@a.test"}], tags=["old"])
        for n in range(3)
    ]


async def bulk(api, contacts, *, all_or_none=True, who="admin", **edit):
    """Every contact changed alike: the command's id."""
    command = str(uuid4())
    rows = [{"id": one["id"]} | edit for one in contacts]
    sent = {"contacts": rows, "allOrNone": all_or_none, "commandId": command}
    payload = (await api.ask(BULK, who=who, input=sent))["updateContacts"]
    assert payload["userErrors"] == []
    return command


async def cards(api, contacts):
    return (await api.ask(CARDS, ids=[one["id"] for one in contacts]))["nodes"]


@pytest.mark.parametrize("all_or_none", [True, False])
async def test_a_bulk_edit_is_taken_back_but_for_what_was_changed_since(api, all_or_none):
    contacts = await three(api)
    before = await cards(api, contacts)
    edit = {"jobTitle": "Captain", "addTags": ["new"], "removeTags": ["old"]}
    command = await bulk(api, contacts, all_or_none=all_or_none, **edit)
    await api.ask(UPDATE, input={"id": contacts[1]["id"], "jobTitle": "Admiral"})

    told = await revert(api, target={"commandId": command}, dryRun=True)
    there = await cards(api, contacts)
    done = await revert(api, target={"commandId": command})

    assert told["position"] is None
    assert there[0]["jobTitle"] == "Captain"
    assert told["reverted"] == [one | {"entity": two["entity"]} for one, two in zip(done["reverted"], told["reverted"])]  # noqa: B905
    after = await cards(api, contacts)
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1] == before[1] | {"jobTitle": "Admiral"}
    (skip,) = done["skipped"]
    assert (skip["event"]["type"], skip["blockedBy"]["actor"]) == ("contact.updated", {"name": "Admin"})
    assert skip["message"] == "It was changed since."
    assert len(done["reverted"]) == 8


async def test_it_is_said_why_and_can_be_sent_again(api):
    contacts = await three(api)
    command, own = await bulk(api, contacts, jobTitle="Captain"), str(uuid4())

    first = await revert(api, target={"commandId": command}, commandId=own)
    again = await revert(api, target={"commandId": command}, commandId=own)
    events = await api.ask(
        "query($id: UUID!) { events(filter: {commandId: $id}) { nodes { type reason causationId } } }",
        who="auditor", id=own,
    )  # fmt: skip
    reused = await api.refused(REVERT, input={"target": {"commandId": own}, "commandId": own, "reason": "x"})

    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["reverted"] == first["reverted"]
    assert again["position"] == first["position"]
    assert events["events"]["nodes"] == [{"type": "contact.updated", "reason": "a mistake", "causationId": command}] * 3
    assert [code for code, *_ in reused] == ["COMMAND_ID_REUSED"]


async def test_a_revert_is_reverted(api):
    contacts = await three(api)
    command = await bulk(api, contacts, jobTitle="Captain")
    own = str(uuid4())
    await revert(api, target={"commandId": command}, commandId=own)

    done = await revert(api, target={"commandId": own})

    assert done["skipped"] == []
    assert {one["jobTitle"] for one in await cards(api, contacts)} == {"Captain"}


async def test_all_of_one_correlation_is_taken_back(api):
    contacts = await three(api)
    command = await bulk(api, contacts, jobTitle="Captain")
    query = "query($id: UUID!) { events(filter: {commandId: $id}, first: 1) { nodes { correlationId } } }"
    (event,) = (await api.ask(query, who="auditor", id=command))["events"]["nodes"]

    done = await revert(api, target={"correlationId": event["correlationId"]})

    assert len(done["reverted"]) == 3


async def test_a_merge_is_taken_back(api):
    ada, king = await two(api)
    command = str(uuid4())
    await merge(api, ada, king, commandId=command)

    done = await revert(api, target={"commandId": command})
    again = await revert(api, target={"commandId": command})

    assert {one["type"] for one in done["reverted"]} == {"contact.merged", "contact.absorbed"}
    assert (await shown(api, king))["recordStatus"] == "ACTIVE"
    assert (await shown(api, ada))["absorbed"] == []
    assert {one["message"] for one in again["skipped"]} == {"This merge does not stand by itself any more."}
    assert again["reverted"] == []


async def test_what_began_ends_and_frees_its_values(api):
    command = str(uuid4())
    ada = await register(api, displayName="Ada", emails=[{"address": "ada@a.test"}], commandId=command)

    await revert(api, target={"commandId": command})
    other = await register(api, displayName="Other", emails=[{"address": "ada@a.test"}])

    assert (await shown(api, ada))["recordStatus"] == "ARCHIVED"
    assert (await shown(api, other))["recordStatus"] == "ACTIVE"


async def test_a_ticket_opened_by_mistake_is_closed(api):
    command = str(uuid4())
    opened = await ticket(api, await queue(api), body="Help", commandId=command)

    done = await revert(api, target={"commandId": command})

    assert done["skipped"] == []
    assert {one["type"] for one in done["reverted"]} >= {"ticket.opened", "interaction.recorded"}
    assert (await desk_shown(api, opened["id"], "status"))["status"] == "CLOSED"


async def test_who_stays_says_what_may_be_done(api):
    command = str(uuid4())
    input_ = {"name": "Agent", "externalIds": [{"system": "erp", "value": "7"}], "commandId": command}
    mutation = "mutation($input: RegisterMemberInput!) { registerMember(input: $input) { member { id } } }"
    await api.ask(mutation, input=input_)

    (skip,) = (await revert(api, target={"commandId": command}))["skipped"]

    assert skip["message"].endswith("deactivate the member.")


async def test_a_revert_that_died_before_its_note_is_noted_by_another(api, place, monkeypatch):
    contacts = await three(api)
    command, own = await bulk(api, contacts, jobTitle="Captain"), str(uuid4())

    async def died(*_):
        raise UnavailableError("The process is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "keep", died)
        assert (await api.post(REVERT, variables={"input": sent_again(command, own)})).json()["errors"]
    assert noted(place, api) == []
    with Reverter(place.urls, place.keys, poll=0.05, dead=0).running():
        await soon(lambda: noted(place, api))
    again = await api.ask(REVERT, input=sent_again(command, own))

    assert noted(place, api) == [(UUID(command),)]
    assert again["revertCommand"]["replayed"]
    assert {one["jobTitle"] for one in await cards(api, contacts)} == {"Pilot"}


async def test_a_revert_that_came_to_nothing_leaves_no_promise(api, place):
    async with runs.connected(place.urls.app, api.workspace) as connection:
        await runs.promise(connection, api.workspace, uuid4(), uuid4())

    def promised():
        with psycopg.connect(place.urls.owner) as connection:
            return connection.execute(
                "SELECT 1 FROM es.revert_to_note WHERE workspace_id = %s", [api.workspace]
            ).fetchall()

    assert promised()
    with Reverter(place.urls, place.keys, poll=0.05, dead=0).running():
        await soon(lambda: not promised())

    assert noted(place, api) == []


def sent_again(command, own):
    return {"target": {"commandId": command}, "commandId": own, "reason": "a mistake"}


def noted(place, api):
    with psycopg.connect(place.urls.owner) as connection:
        return connection.execute(
            "SELECT command_id FROM es.reverted_command WHERE workspace_id = %s", [api.workspace]
        ).fetchall()


async def test_an_import_whose_events_have_another_correlation_is_taken_back(api):
    run = uuid4()
    with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
        connection.execute(
            "INSERT INTO es.import_run (workspace_id, id, mapping, mapping_hash, file_name, file_hash, status, rows)"
            " VALUES (%s, %s, 'people', '', 'people.csv', '', 'DONE', 1)",
            [api.workspace, run],
        )
    by = {"actor": Actor(kind=ActorKind.IMPORT, id=run), "origin": Origin(import_=ImportOrigin(id=run, row=1))}
    ada = api.id("Contact", await api.begin(CONTACT, editing.register(ContactEdit(display_name="Ada")), **by))
    await api.projected()

    done = await revert(api, target={"commandId": str(run)})

    assert [one["type"] for one in done["reverted"]] == ["contact.registered"]
    assert (await shown(api, {"id": ada}))["recordStatus"] == "ARCHIVED"


async def test_a_value_that_another_has_by_now_is_left_there(api):
    ada = await register(api, displayName="Ada", emails=[{"address": "ada@a.test"}])
    command = await bulk(api, [ada], addEmails=[{"address": "b@a.test"}], removeEmails=["ada@a.test"])
    await register(api, displayName="Other", emails=[{"address": "ada@a.test"}])

    done = await revert(api, target={"commandId": command})

    assert done["reverted"] == []
    assert {one["message"] for one in done["skipped"]} == {"Another record has one of its unique values by now."}


async def test_ones_own_or_with_administer(api):
    contacts = await three(api)
    admins = await bulk(api, contacts, jobTitle="Captain")
    own = await bulk(api, contacts, who="sales", jobTitle="Major")

    async def code(who, command):
        sent = {"target": {"commandId": command}, "reason": "x"}
        return [each[0] for each in await api.refused(REVERT, who=who, input=sent)]

    assert await code("sales", admins) == ["NOT_ALLOWED"]
    assert await code("auditor", own) == await code("nobody", own) == ["NOT_ALLOWED"]
    assert await code("sales", str(uuid4())) == ["NOT_FOUND"]
    assert await code("sales", own) == []
    assert {one["jobTitle"] for one in await cards(api, contacts)} == {"Captain"}


NODE = f"""query($id: ID!) {{ node(id: $id) {{ ... on Revert {{
  {JOB} reverted dryRun requestedBy {{ name }} skipped {{ message event {{ id }} }} }} }} }}"""


async def test_much_is_a_job_that_goes_on_whoever_carries_it_on(api, place, monkeypatch):
    monkeypatch.setattr(revert_mutations, "AT_ONCE", 2)
    contacts = await three(api)
    before = await cards(api, contacts)
    command = await bulk(api, contacts, jobTitle="Captain")
    await api.ask(UPDATE, input={"id": contacts[1]["id"], "jobTitle": "Admiral"})

    begun = await revert(api, target={"commandId": command})
    again = await revert(api, target={"commandId": command}, dryRun=True)
    hidden = (await api.ask(NODE, who="sales", id=begun["job"]["id"]))["node"]
    with Reverter(place.urls, place.keys, poll=0.05).running():

        async def ended():
            found = [(await api.ask(NODE, id=one["job"]["id"]))["node"] for one in (begun, again)]
            return found if all(one["status"] == "DONE" for one in found) else None

        await soon(ended)
        job, dry = await ended()

    assert (begun["reverted"], begun["job"]["status"], hidden) == (None, "QUEUED", None)
    assert (job["progress"], job["reverted"]) == ({"done": 3, "total": 3, "rejected": 1}, 2)
    assert job["requestedBy"] == {"name": "Admin"}
    assert [one["message"] for one in job["skipped"]] == ["It was changed since."]
    assert dry["dryRun"]

    async def settled():
        return [one["jobTitle"] for one in await cards(api, contacts)] == ["Pilot", "Admiral", "Pilot"]

    await soon(settled)
    after = await cards(api, contacts)
    assert [after[0], after[2]] == [before[0], before[2]]


CANCEL = f"mutation($input: CancelJobInput!) {{ cancelJob(input: $input) {{ job {{ {JOB} }} {PROBLEMS} }} }}"


async def test_a_job_is_stopped_by_whoever_asked_for_it(api, place, monkeypatch):
    monkeypatch.setattr(revert_mutations, "AT_ONCE", 2)
    contacts = await three(api)
    command = await bulk(api, contacts, jobTitle="Captain")
    job = (await revert(api, target={"commandId": command}))["job"]

    foreign = await api.refused(CANCEL, who="sales", input={"id": job["id"]})
    stopped = (await api.ask(CANCEL, input={"id": job["id"]}))["cancelJob"]["job"]
    twice = await api.refused(CANCEL, input={"id": job["id"]})
    unknown = await api.refused(CANCEL, input={"id": api.id("Revert", UUID(int=4))})

    assert [code for code, *_ in foreign] == [code for code, *_ in unknown] == ["NOT_FOUND"]
    assert stopped["status"] == "CANCELLED"
    assert [rule for _, rule, _ in twice] == ["job.ended"]
    with Reverter(place.urls, place.keys, poll=0.05).running():
        assert {one["jobTitle"] for one in await cards(api, contacts)} == {"Captain"}
