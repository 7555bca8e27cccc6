"""Many contacts at once, and many clients at one contact."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.test_contacts import PROBLEMS, REGISTER, UPDATE, register

pytestmark = pytest.mark.anyio

UPDATE_MANY = f"""
mutation UpdateMany($input: UpdateContactsInput!) {{
  updateContacts(input: $input) {{
    rows {{ index contact {{ id version jobTitle }} userErrors {{ code rule field }} }} position replayed {PROBLEMS}
  }}
}}"""
ARCHIVE_MANY = f"""
mutation ArchiveMany($input: ArchiveContactsInput!) {{
  archiveContacts(input: $input) {{ rows {{ contact {{ recordStatus }} userErrors {{ rule }} }} {PROBLEMS} }}
}}"""
CONFLICTS = """userErrors { code ... on VersionConflict { currentVersion
  conflicts { field base mine theirs event { type actor { name } } } } }"""
EXISTING = "... on AlreadyExists { existing { id } }"


async def update_many(api, *rows, **given):
    return (await api.ask(UPDATE_MANY, input={"contacts": list(rows)} | given))["updateContacts"]


async def register_some(api, count, **given):
    return [await register(api, displayName=f"Contact {n}", **given) for n in range(count)]


def refusals(errors):
    return [(error["rule"], error["field"]) for error in errors]


async def test_a_batch_changes_all_in_one_append(api):
    contacts = await register_some(api, 3)

    payload = await update_many(api, *({"id": c["id"], "jobTitle": "Clerk"} for c in contacts))

    assert [row["contact"]["id"] for row in payload["rows"]] == [c["id"] for c in contacts]
    assert {row["contact"]["jobTitle"] for row in payload["rows"]} == {"Clerk"}
    assert [row["userErrors"] for row in payload["rows"]] == [[], [], []]


async def test_all_or_none_changes_nothing_and_names_every_bad_row(api):
    one, two = await register_some(api, 2)
    stranger = api.id("Contact", uuid4())

    payload = await update_many(
        api, {"id": one["id"], "jobTitle": "Clerk"}, {"id": two["id"], "addEmails": [{"address": "nonsense"}]},
        {"id": two["id"], "ownerId": api.id("Member", uuid4())},
    )  # fmt: skip
    unknown = await update_many(api, {"id": stranger, "jobTitle": "Ghost"}, {"id": one["id"]}, {"id": one["id"]})

    assert refusals(payload["userErrors"]) == [
        ("email.malformed", ["contacts", "1", "addEmails", "0", "address"]),
        ("record.not_found", ["contacts", "2", "ownerId"]),
    ]
    assert refusals(unknown["userErrors"]) == [
        ("record.not_found", ["contacts", "0", "id"]), ("batch.twice", ["contacts", "2", "id"])
    ]  # fmt: skip
    assert payload["rows"] == unknown["rows"] == []
    now = await api.ask("query($id: ID!) { contact(id: $id) { jobTitle version } }", id=one["id"])
    assert now["contact"] == {"jobTitle": None, "version": one["version"]}


async def test_a_taken_email_in_a_batch_is_named_by_its_row(api):
    holder, other = await register_some(api, 2)
    await api.ask(UPDATE, input={"id": holder["id"], "addEmails": [{"address": "a@example.com"}]})
    rows = [{"id": holder["id"], "jobTitle": "x"}, {"id": other["id"], "addEmails": [{"address": "A@example.com"}]}]

    together = await update_many(api, *rows)
    apart = await update_many(api, *rows, allOrNone=False)

    assert refusals(together["userErrors"]) == [("email.taken", ["contacts", "1", "addEmails", "0"])]
    assert apart["rows"][0]["contact"]["jobTitle"] == "x"
    assert refusals(apart["rows"][1]["userErrors"]) == [("email.taken", ["contacts", "1", "addEmails", "0"])]


async def test_row_by_row_does_what_can_be_done_once(api):
    one, two = await register_some(api, 2)
    command = str(uuid4())
    rows = [
        {"id": one["id"], "jobTitle": "Clerk"},
        {"id": two["id"], "lifecycleStage": None},
        {"id": two["id"], "addTags": ["x"]},
    ]

    first = await update_many(api, *rows, allOrNone=False, commandId=command)
    again = await update_many(api, *rows, allOrNone=False, commandId=command)
    other = await update_many(api, *rows[:1], allOrNone=False, commandId=command)

    assert refusals(first["rows"][1]["userErrors"]) == [("field.required", ["contacts", "1", "lifecycleStage"])]
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["rows"] == first["rows"]
    assert again["position"] == first["position"]
    assert [error["code"] for error in other["userErrors"]] == ["COMMAND_ID_REUSED"]


async def test_a_batch_meets_later_changes_field_by_field(api):
    contact, other = await register_some(api, 2)
    await api.ask(UPDATE, input={"id": contact["id"], "jobTitle": "Theirs"})
    version = contact["version"]

    merged = await update_many(
        api,
        {"id": contact["id"], "givenName": "Mine", "expectedVersion": version},
        {"id": other["id"], "jobTitle": "x"},
    )
    refused = await update_many(api, {"id": contact["id"], "jobTitle": "Mine", "expectedVersion": version})

    assert merged["rows"][0]["contact"]["jobTitle"] == "Theirs"
    assert [error["code"] for error in refused["userErrors"]] == ["VERSION_CONFLICT"]
    assert refused["userErrors"][0]["field"] == ["contacts", "0"]


async def test_a_row_has_no_envelope_of_its_own(api):
    (contact,) = await register_some(api, 1)

    payload = await update_many(api, {"id": contact["id"], "commandId": str(uuid4())})

    assert refusals(payload["userErrors"]) == [("batch.row_envelope", ["contacts", "0", "commandId"])]


async def test_contacts_are_archived_together(api):
    contacts = await register_some(api, 3, emails=None)

    data = await api.ask(ARCHIVE_MANY, input={"contacts": [{"id": c["id"]} for c in contacts]})
    again = await api.ask(ARCHIVE_MANY, input={"contacts": [{"id": c["id"]} for c in contacts], "allOrNone": False})

    assert [row["contact"]["recordStatus"] for row in data["archiveContacts"]["rows"]] == ["ARCHIVED"] * 3
    assert [row["userErrors"] for row in again["archiveContacts"]["rows"]] == [[{"rule": "contact.archived"}]] * 3
    assert (await api.ask("{ contacts { totalCount } }"))["contacts"]["totalCount"] == 0


async def test_of_32_clients_with_one_email_exactly_one_wins(api):
    given = {"displayName": "Ada", "emails": [{"address": "ada@example.com"}]}

    answers = await asyncio.gather(*(api.ask(REGISTER, input=given) for _ in range(32)))

    payloads = [answer["registerContact"] for answer in answers]
    winners = [payload["contact"]["id"] for payload in payloads if payload["contact"]]
    errors = [payload["userErrors"][0] for payload in payloads if payload["userErrors"]]
    assert len(winners) == 1
    assert [error["code"] for error in errors] == ["ALREADY_EXISTS"] * 31
    assert {error["existing"]["id"] for error in errors} == set(winners)
    assert {tuple(error["field"]) for error in errors} == {("emails", "0")}


async def test_concurrent_edits_of_different_fields_both_stand(api):
    contact = await register(api, givenName="Ada")
    opened = {"id": contact["id"], "expectedVersion": contact["version"]}

    await asyncio.gather(
        api.ask(UPDATE, input=opened | {"jobTitle": "Analyst"}), api.ask(UPDATE, input=opened | {"familyName": "King"})
    )

    now = await api.ask("query($id: ID!) { contact(id: $id) { jobTitle familyName } }", id=contact["id"])
    assert now["contact"] == {"jobTitle": "Analyst", "familyName": "King"}


async def test_concurrent_edits_of_one_field_conflict_and_show_both(api):
    contact = await register(api, jobTitle="Before")
    opened = {"id": contact["id"], "expectedVersion": contact["version"]}
    document = UPDATE.replace(PROBLEMS, CONFLICTS)

    answers = await asyncio.gather(
        api.ask(document, who="admin", input=opened | {"jobTitle": "Admin"}),
        api.ask(document, who="sales", input=opened | {"jobTitle": "Sales"}),
    )

    errors = [answer["updateContact"]["userErrors"] for answer in answers]
    won, lost = ("Admin", "Sales") if not errors[0] else ("Sales", "Admin")
    assert sorted(map(len, errors)) == [0, 1]
    (conflict,) = (errors[0] or errors[1])[0]["conflicts"]
    assert conflict == {
        "field": "jobTitle", "base": "Before", "mine": lost, "theirs": won,
        "event": {"type": "contact.updated", "actor": {"name": won}},
    }  # fmt: skip


async def test_a_repeated_command_is_done_once_and_answered_as_it_is_now(api):
    command = {"commandId": str(uuid4()), "displayName": "Ada", "emails": [{"address": "ada@example.com"}]}

    first = (await api.ask(REGISTER, input=command))["registerContact"]
    again = (await api.ask(REGISTER, input=command))["registerContact"]
    other = (await api.ask(REGISTER, input=command | {"displayName": "Eve"}))["registerContact"]

    assert again["replayed"] is True
    assert (again["contact"]["id"], again["position"]) == (first["contact"]["id"], first["position"])
    assert [error["code"] for error in other["userErrors"]] == ["COMMAND_ID_REUSED"]
    assert (await api.ask("{ contacts { totalCount } }"))["contacts"]["totalCount"] == 1


async def test_a_repeated_batch_answers_refused_rows_as_it_did_first(api):
    holder, other, archived, changed = await register_some(api, 4)
    await api.ask(UPDATE, input={"id": holder["id"], "addEmails": [{"address": "a@example.com"}]})
    await api.ask(ARCHIVE_MANY, input={"contacts": [{"id": archived["id"]}]})
    await api.ask(UPDATE, input={"id": changed["id"], "jobTitle": "Theirs"})
    batch = {
        "commandId": str(uuid4()), "allOrNone": False, "contacts": [
            {"id": other["id"], "addEmails": [{"address": "a@example.com"}]},
            {"id": archived["id"], "jobTitle": "Mine"},
            {"id": changed["id"], "jobTitle": "Mine", "expectedVersion": changed["version"]},
            {"id": api.id("Contact", uuid4()), "jobTitle": "Mine"},
        ],
    }  # fmt: skip
    document = UPDATE_MANY.replace("userErrors { code rule field }", f"{CONFLICTS[:-1]} rule field {EXISTING} }}", 1)

    first = (await api.ask(document, input=batch))["updateContacts"]
    await api.ask(UPDATE, input={"id": holder["id"], "removeEmails": ["a@example.com"]})
    await api.ask(
        "mutation($i: RestoreContactInput!) { restoreContact(input: $i) { position } }", i={"id": archived["id"]}
    )
    await api.ask(UPDATE, input={"id": changed["id"], "jobTitle": "Before"})
    again = (await api.ask(document, input=batch))["updateContacts"]

    assert [row["userErrors"][0]["rule"] for row in first["rows"]] == [
        "email.taken", "contact.archived", "record.version_conflict", "record.not_found"
    ]  # fmt: skip
    assert first["rows"][0]["userErrors"][0]["existing"]["id"] == holder["id"]
    assert first["rows"][2]["userErrors"][0]["conflicts"][0]["theirs"] == "Theirs"
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["rows"] == first["rows"]


async def test_a_repeated_batch_that_was_done_is_answered_though_its_contacts_were_merged_since(api):
    one, two = await register_some(api, 2)
    batch = {"commandId": str(uuid4()), "contacts": [{"id": c["id"], "jobTitle": "Clerk"} for c in (one, two)]}

    first = (await api.ask(UPDATE_MANY, input=batch))["updateContacts"]
    merged = {"survivorId": one["id"], "absorbedId": two["id"], "reason": "Same person."}
    await api.ask("mutation($i: MergeContactsInput!) { mergeContacts(input: $i) { position } }", i=merged)
    again = (await api.ask(UPDATE_MANY, input=batch))["updateContacts"]

    assert again["userErrors"] == []
    assert (again["replayed"], again["position"]) == (True, first["position"])
    assert [row["contact"]["id"] for row in again["rows"]] == [one["id"], two["id"]]


async def test_every_row_beyond_ones_reach_is_refused(api):
    writing = may((Action.UPDATE,), (EntityType.CONTACT,), Scope.OWN)
    reading = may((Action.READ,), (EntityType.CONTACT,))
    api.known["own"] = replace(api.known["sales"], permissions=Permissions([*reading, *writing]))
    mine = await register(api, displayName="Mine", ownerId=api.id("Member", api.known["sales"].member_id))
    others = await register_some(api, 2)
    rows = [{"id": each["id"], "jobTitle": "Clerk"} for each in (others[0], mine, others[1])]

    async def done(all_or_none):
        given = {"contacts": rows, "allOrNone": all_or_none}
        return (await api.ask(UPDATE_MANY, who="own", input=given))["updateContacts"]

    whole, single = await done(True), await done(False)

    assert refusals(whole["userErrors"]) == [
        ("permission.denied", ["contacts", "0", "id"]), ("permission.denied", ["contacts", "2", "id"]),
    ]  # fmt: skip
    assert [bool(row["contact"]) for row in single["rows"]] == [False, True, False]
