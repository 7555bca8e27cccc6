"""The timeline: recording once, correcting, redacting, adding up."""

from uuid import uuid4

import pytest

from tests.api.test_contacts import PROBLEMS, register

pytestmark = pytest.mark.anyio

FIELDS = """id version type direction channel externalId subject preview body occurredAt amount { amount currency }
  quantity contacts { id } participants { part address contact { id } member { id name } } member { id } visibility correctedAt
  redactedAt"""
RECORD = f"""
mutation Record($input: RecordInteractionInput!) {{
  recordInteraction(input: $input) {{ created interaction {{ {FIELDS} }} position projected replayed {PROBLEMS} }}
}}"""
RECORD_MANY = f"""
mutation RecordMany($input: RecordInteractionsInput!) {{
  recordInteractions(input: $input) {{
    rows {{ index created interaction {{ id subject }} userErrors {{ rule field }} }} position replayed {PROBLEMS}
  }}
}}"""
CORRECT = f"""
mutation Correct($input: CorrectInteractionInput!) {{
  correctInteraction(input: $input) {{ interaction {{ {FIELDS} }} {PROBLEMS} }}
}}"""
REDACT = f"""
mutation Redact($input: RedactInteractionInput!) {{
  redactInteraction(input: $input) {{ interaction {{ {FIELDS} }} {PROBLEMS} }}
}}"""
WHEN = "2025-01-02T03:04:05Z"


def note(**given):
    return {"type": "NOTE", "occurredAt": WHEN} | given


async def record(api, who="admin", **given):
    payload = (await api.ask(RECORD, who=who, input=note(**given)))["recordInteraction"]
    assert payload["userErrors"] == [], payload
    return payload["interaction"]


async def record_many(api, *rows, **given):
    return (await api.ask(RECORD_MANY, input={"interactions": list(rows)} | given))["recordInteractions"]


async def test_a_recorded_interaction_stands_on_the_timeline_of_its_contact(api):
    contact = await register(api)
    sales = api.id("Member", api.known["sales"].member_id)

    made = await record(
        api, type="PURCHASE", contactIds=[contact["id"]], subject="2 CDs", body="<p>Dear <b>Ada</b>,</p><p>thanks</p>",
        bodyFormat="HTML", amount={"amount": "29.33", "currency": "USD"}, quantity="2",
        participants=[
            {"part": "TO", "address": "ada@example.com", "contactId": contact["id"]}, {"part": "FROM", "memberId": sales}
        ],
    )  # fmt: skip

    assert made["preview"] == "Dear Ada, thanks"
    assert made["amount"] == {"amount": "29.33", "currency": "USD"}
    assert made["participants"][0] == {
        "part": "TO", "address": "ada@example.com", "contact": {"id": contact["id"]}, "member": None
    }  # fmt: skip
    assert made["participants"][1]["member"]["name"] == "Sales"
    assert made["member"]["id"] == api.id("Member", api.known["admin"].member_id)
    page = await api.ask(
        "query($id: ID!) { contact(id: $id) { interactionCount lastInteractionAt"
        " timeline(first: 5) { totalCount nodes { __typename id occurredAt } }"
        " interactions(filter: {type: {eq: PURCHASE}}) { summary { count amount { amount currency } quantity }"
        " nodes { id } } } }",
        id=contact["id"],
    )
    assert page["contact"] == {
        "interactionCount": 1, "lastInteractionAt": WHEN,
        "timeline": {"totalCount": 1, "nodes": [{"__typename": "Interaction", "id": made["id"], "occurredAt": WHEN}]},
        "interactions": {
            "summary": {"count": 1, "amount": [{"amount": "29.33", "currency": "USD"}], "quantity": "2"},
            "nodes": [{"id": made["id"]}],
        },
    }  # fmt: skip


async def test_what_was_seen_before_answers_the_first_one(api):
    first = await record(api, channel="gmail", externalId="m1", subject="First")

    again = (await api.ask(RECORD, input=note(channel="gmail", externalId="m1", subject="Other")))["recordInteraction"]

    assert again["created"] is False
    assert again["position"] is None
    assert again["interaction"]["id"] == first["id"]
    assert again["interaction"]["subject"] == "First"


async def test_a_batch_answers_every_row_and_a_doubled_one_with_its_first(api):
    seen = await record(api, channel="file", externalId="0")

    payload = await record_many(
        api, *(note(channel="file", externalId=str(n % 3), subject=f"row {n}") for n in range(5))
    )

    assert [row["created"] for row in payload["rows"]] == [False, True, True, False, False]
    ids = [row["interaction"]["id"] for row in payload["rows"]]
    assert ids[0] == ids[3] == seen["id"]
    assert ids[1] == ids[4] != ids[2]


async def test_a_repeated_batch_answers_the_same_rows(api):
    command = str(uuid4())
    rows = [note(channel="file", externalId="a"), note(channel="file", externalId="a"), note(subject="b")]

    first = await record_many(api, *rows, commandId=command)
    again = await record_many(api, *rows, commandId=command)
    other = await record_many(api, *rows[1:], commandId=command)

    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["rows"] == first["rows"]
    assert again["position"] == first["position"]
    assert [error["code"] for error in other["userErrors"]] == ["COMMAND_ID_REUSED"]


async def test_all_or_none_records_nothing_of_a_batch_with_a_bad_row(api):
    strange = api.id("Contact", uuid4())

    payload = await record_many(api, note(), note(contactIds=[strange]))

    assert [(e["rule"], e["field"]) for e in payload["userErrors"]] == [
        ("record.not_found", ["interactions", "1", "contactIds", "0"])
    ]
    assert payload["rows"] == []
    assert (await api.ask("{ interactions { totalCount } }"))["interactions"]["totalCount"] == 0


async def test_row_by_row_records_what_can_be_and_says_what_cannot(api):
    command, strange = str(uuid4()), api.id("Contact", uuid4())
    rows = [note(subject="ok"), note(contactIds=[strange]), note(amount={"amount": "1.234", "currency": "USD"}), note()]

    payload = await record_many(api, *rows, allOrNone=False, commandId=command)
    again = await record_many(api, *rows, allOrNone=False, commandId=command)

    assert [row["created"] for row in payload["rows"]] == [True, False, False, True]
    assert payload["rows"][1]["userErrors"] == [
        {"rule": "record.not_found", "field": ["interactions", "1", "contactIds", "0"]}
    ]
    assert payload["rows"][2]["userErrors"] == [
        {"rule": "money.too_many_digits", "field": ["interactions", "2", "amount", "amount"]}
    ]
    assert again["rows"] == payload["rows"]
    assert again["replayed"] is True


async def test_contacts_are_found_by_what_other_systems_call_them(api):
    contact = await register(api, externalIds=[{"system": "cdnow", "value": "00004"}])

    made = await record(api, contactExternalIds=[{"system": "cdnow", "value": "00004"}])
    refused = (
        await api.ask(RECORD, input=note(contactExternalIds=[{"system": "cdnow", "value": "nobody"}]))
    )["recordInteraction"]  # fmt: skip

    assert made["contacts"] == [{"id": contact["id"]}]
    assert [(e["rule"], e["field"]) for e in refused["userErrors"]] == [
        ("record.not_found", ["contactExternalIds", "0"])
    ]


async def test_a_correction_changes_what_it_names_and_moves_between_timelines(api):
    one, other = await register(api), await register(api, displayName="Other")
    made = await record(api, subject="Wrong", body="Kept", contactIds=[one["id"]])

    data = await api.ask(
        CORRECT,
        input={
            "id": made["id"], "expectedVersion": made["version"],
            "set": {"subject": "Right", "addContactIds": [other["id"]], "removeContactIds": [one["id"]]},
        },
    )  # fmt: skip

    corrected = data["correctInteraction"]["interaction"]
    assert (corrected["subject"], corrected["body"]) == ("Right", "Kept")
    assert corrected["contacts"] == [{"id": other["id"]}]
    assert corrected["correctedAt"] is not None
    refused = await api.ask(CORRECT, input={"id": made["id"], "set": {"durationSeconds": -1}})
    assert refused["correctInteraction"]["userErrors"][0]["field"] == ["set", "durationSeconds"]


async def test_what_is_redacted_is_in_no_past(api):
    made = await record(api, body="Her card is 4111 1111, she says.")
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]

    data = await api.ask(REDACT, input={"id": made["id"], "passages": ["4111 1111"], "reason": "Card number."})

    assert data["redactInteraction"]["interaction"]["body"] == "Her card is [redacted], she says."
    past = await api.ask(
        "query($id: ID!, $p: Position!) { interaction(id: $id, asOf: {position: $p}) { body preview } }",
        id=made["id"], p=then,
    )  # fmt: skip
    assert "4111" not in str(past)
    nowhere = await api.ask(REDACT, input={"id": made["id"], "passages": ["nowhere"], "reason": "Try."})
    assert nowhere["redactInteraction"]["userErrors"][0]["field"] == ["passages", "0"]


async def test_redacting_a_passage_freezes_the_past_subject_too(api):
    made = await record(api, subject="Call with Adda", body="Her card is 4111.")
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await api.ask(CORRECT, input={"id": made["id"], "set": {"subject": "Call with Ada"}})
    ask = "query($id: ID!, $p: Position!) { interaction(id: $id, asOf: {position: $p}) { subject } }"
    before = (await api.ask(ask, id=made["id"], p=then))["interaction"]["subject"]

    await api.ask(REDACT, input={"id": made["id"], "passages": ["4111"], "reason": "Card."})

    assert before == "Call with Adda"
    assert (await api.ask(ask, id=made["id"], p=then))["interaction"]["subject"] == "Call with Ada"


@pytest.mark.parametrize("visibility", ["PRIVATE", "TEAM"])
async def test_interactions_that_are_not_shared_are_for_those_who_took_part_and_for_auditors(api, visibility):
    contact = await register(api)
    mine = await record(api, who="sales", visibility=visibility, contactIds=[contact["id"]])
    ask = "query($c: ID!, $i: ID!) { interaction(id: $i) { id } contact(id: $c) { interactionCount timeline { totalCount } } }"
    api.known["other"] = type(api.known["sales"])(**_as(api.known["sales"], member_id=uuid4()))

    seen = {who: await api.ask(ask, who=who, c=contact["id"], i=mine["id"]) for who in ("sales", "auditor", "other")}

    assert seen["sales"]["interaction"] == seen["auditor"]["interaction"] == {"id": mine["id"]}
    assert seen["auditor"]["contact"] == {"interactionCount": 1, "timeline": {"totalCount": 1}}
    assert seen["other"] == {"interaction": None, "contact": {"interactionCount": None, "timeline": {"totalCount": 0}}}
    hidden = await api.ask(CORRECT, who="other", input={"id": mine["id"], "set": {"subject": "No"}})
    assert [e["code"] for e in hidden["correctInteraction"]["userErrors"]] == ["NOT_FOUND"]
    await api.ask(CORRECT, input={"id": mine["id"], "set": {"visibility": "SHARED"}}, who="sales")
    assert (await api.ask(ask, who="other", c=contact["id"], i=mine["id"]))["contact"]["interactionCount"] == 1


def _as(identity, **changes):
    return {name: getattr(identity, name) for name in identity.__dataclass_fields__} | changes
