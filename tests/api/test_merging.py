"""Two contacts that are one person, and taking that back."""

from random import Random
from uuid import uuid4

import pytest

from tests.api.test_contacts import PROBLEMS, REGISTER, UPDATE, register
from tests.api.test_interactions import record

pytestmark = pytest.mark.anyio

CARD = """id version recordStatus displayName jobTitle primaryEmail tags emails { address } mergedInto { id }
  absorbed { id }"""
MERGE = f"""
mutation Merge($input: MergeContactsInput!) {{
  mergeContacts(input: $input) {{ contact {{ {CARD} }} absorbed {{ {CARD} }} position replayed {PROBLEMS} }}
}}"""
UNMERGE = f"""
mutation Unmerge($input: UnmergeContactInput!) {{
  unmergeContact(input: $input) {{
    contact {{ {CARD} }} survivor {{ {CARD} }} undecided {{ type }} lost {{ kind value holder {{ id }} }} replayed {PROBLEMS}
  }}
}}"""
PREVIEW = """
query Preview($a: ID!, $b: ID!) {
  mergePreview(survivorId: $a, absorbedId: $b) {
    survivor { id } absorbed { id } fields { field survivor absorbed proposed } interactionsMoved dealsMoved ticketsMoved
    userErrors { rule }
  }
}"""
DUPLICATES = """
query Duplicates($id: ID, $first: Int, $after: String) {
  duplicates(contactId: $id, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor } edges { cursor node { id score matchedOn contact { id } other { id } } }
  }
}"""
CONTACT = f"query($id: ID!) {{ contact(id: $id) {{ {CARD} interactionCount timeline {{ nodes {{ id }} }} }} }}"


async def merge(api, survivor, absorbed, **given):
    sent = {"survivorId": survivor["id"], "absorbedId": absorbed["id"], "reason": "Same person."} | given
    return (await api.ask(MERGE, input=sent))["mergeContacts"]


async def unmerge(api, absorbed, **given):
    sent = {"absorbedId": absorbed["id"], "reason": "Two people."} | given
    return (await api.ask(UNMERGE, input=sent))["unmergeContact"]


async def shown(api, contact):
    return (await api.ask(CONTACT, id=contact["id"]))["contact"]


async def two(api):
    ada = await register(api, displayName="Ada Lovelace", emails=[{"address": "ada@example.com"}], tags=["vip"])
    king = await register(api, displayName="Ada King", jobTitle="Countess", emails=[{"address": "king@example.com"}])
    return ada, king


def problems(payload):
    return [(error["rule"], error["field"]) for error in payload["userErrors"]]


async def test_a_merge_brings_everything_together_and_the_old_id_leads_there(api):
    ada, king = await two(api)
    called, wrote = await record(api, contactIds=[king["id"]]), await record(api, contactIds=[ada["id"], king["id"]])

    payload = await merge(api, ada, king)

    assert payload["userErrors"] == []
    survivor, absorbed = payload["contact"], payload["absorbed"]
    assert (survivor["displayName"], survivor["jobTitle"], survivor["primaryEmail"]) == (
        "Ada Lovelace", "Countess", "ada@example.com"
    )  # fmt: skip
    assert {email["address"] for email in survivor["emails"]} == {"ada@example.com", "king@example.com"}
    assert survivor["absorbed"] == [{"id": king["id"]}]
    assert (absorbed["id"], absorbed["recordStatus"], absorbed["mergedInto"]) == (
        king["id"],
        "MERGED",
        {"id": ada["id"]},
    )
    page = await shown(api, ada)
    assert page["interactionCount"] == 2
    assert {node["id"] for node in page["timeline"]["nodes"]} == {called["id"], wrote["id"]}
    assert (await api.ask("{ contacts { totalCount } }"))["contacts"]["totalCount"] == 1


async def test_the_absorbed_id_is_written_to_the_survivor(api):
    ada, king = await two(api)
    await merge(api, ada, king)

    data = await api.ask(UPDATE, input={"id": king["id"], "jobTitle": "Analyst"})

    assert data["updateContact"]["contact"]["id"] == ada["id"]
    assert data["updateContact"]["contact"]["jobTitle"] == "Analyst"


async def test_edits_of_both_identities_go_back_to_whom_they_were_meant_for(api):
    ada, king = await two(api)
    await merge(api, ada, king)
    await api.ask(UPDATE, input={"id": ada["id"], "addTags": ["of ada"], "addEmails": [{"address": "a2@example.com"}]})
    await api.ask(UPDATE, input={"id": king["id"], "addTags": ["of king"], "jobTitle": "Widow"})

    stale = await unmerge(api, king, expectedVersion=king["version"])
    payload = await unmerge(api, king)

    assert [(error["code"], error["field"]) for error in stale["userErrors"]] == [
        ("VERSION_CONFLICT", ["expectedVersion"])
    ]
    assert payload["userErrors"] == []
    back, survivor = payload["contact"], payload["survivor"]
    assert (back["id"], back["recordStatus"], back["mergedInto"]) == (king["id"], "ACTIVE", None)
    assert (back["jobTitle"], back["tags"]) == ("Widow", ["of king"])
    assert [email["address"] for email in back["emails"]] == ["king@example.com"]
    assert (survivor["id"], survivor["jobTitle"], survivor["tags"]) == (ada["id"], None, ["vip", "of ada"])
    assert [email["address"] for email in survivor["emails"]] == ["ada@example.com", "a2@example.com"]
    assert payload["lost"] == []
    assert problems(await unmerge(api, king)) == [("contact.not_merged", ["absorbedId"])]


async def test_what_could_be_eithers_stays_with_the_survivor_and_is_listed_again_in_a_replay(api):
    ada, king = await two(api)
    await merge(api, ada, king)
    await api.ask(UPDATE, input={"id": ada["id"], "jobTitle": "Whose?"})
    command = str(uuid4())

    first = await unmerge(api, king, commandId=command)
    again = await unmerge(api, king, commandId=command)

    assert first["undecided"] == again["undecided"] == [{"type": "contact.updated"}]
    assert first["survivor"]["jobTitle"] == "Whose?"
    assert first["contact"]["jobTitle"] == "Countess"
    assert (first["replayed"], again["replayed"]) == (False, True)


async def test_a_value_that_a_third_contact_took_is_lost_and_said(api):
    ada, king = await two(api)
    await merge(api, ada, king)
    await api.ask(UPDATE, input={"id": ada["id"], "removeEmails": ["king@example.com"]})
    third = await register(api, displayName="Third", emails=[{"address": "king@example.com"}])

    payload = await unmerge(api, king)

    assert payload["userErrors"] == []
    assert payload["contact"]["emails"] == []
    assert (await shown(api, third))["emails"] == [{"address": "king@example.com"}]


async def test_choices_are_kept_and_checked(api):
    ada, king = await two(api)

    unknown = await merge(api, ada, king, keep=[{"field": "shoeSize", "from": king["id"]}])
    nameless = await merge(api, ada, king, reason=" ")
    chosen = await merge(api, ada, king, keep=[{"field": "displayName", "from": king["id"]}])

    assert problems(unknown) == [("contact.unknown_choice", ["keep", "0", "field"])]
    assert problems(nameless) == [("text.blank", ["reason"])]
    assert chosen["contact"]["displayName"] == "Ada King"
    assert problems(await merge(api, ada, ada)) == [("contact.same", ["absorbedId"])]


async def test_a_merge_decided_on_old_versions_conflicts(api):
    ada, king = await two(api)
    await api.ask(UPDATE, input={"id": ada["id"], "jobTitle": "Newer"})
    await api.ask(UPDATE, input={"id": king["id"], "addTags": ["newer"]})

    mine = await merge(api, ada, king, expectedVersion=ada["version"], keep=[{"field": "jobTitle", "from": king["id"]}])
    theirs = await merge(api, ada, king, expectedAbsorbedVersion=king["version"])

    assert [error["code"] for error in mine["userErrors"]] == ["VERSION_CONFLICT"]
    assert [(error["code"], error["field"]) for error in theirs["userErrors"]] == [
        ("VERSION_CONFLICT", ["expectedAbsorbedVersion"])
    ]


async def test_the_preview_says_what_a_merge_would_do(api):
    ada, king = await two(api)
    await record(api, contactIds=[king["id"]])

    preview = (await api.ask(PREVIEW, a=ada["id"], b=king["id"]))["mergePreview"]

    fields = {field["field"]: field for field in preview["fields"]}
    assert fields["displayName"] == {
        "field": "displayName", "survivor": "Ada Lovelace", "absorbed": "Ada King", "proposed": ada["id"]
    }  # fmt: skip
    assert fields["jobTitle"]["proposed"] == king["id"]
    assert (preview["interactionsMoved"], preview["userErrors"]) == (1, [])
    same = (await api.ask(PREVIEW, a=ada["id"], b=ada["id"]))["mergePreview"]
    assert same["userErrors"] == [{"rule": "contact.same"}]
    assert (await api.ask(PREVIEW, a=ada["id"], b=api.id("Contact", uuid4())))["mergePreview"] is None


async def test_lookalikes_are_paired_until_somebody_says_they_are_two(api):
    one = await register(api, displayName="Ada Lovelace", phones=[{"number": "+49 151 12345678"}])
    other = await register(api, displayName="Lovelace, Ada", phones=[{"number": "+4915112345678"}])
    third = await register(api, displayName="Ada Lovelace")

    found = (await api.ask(DUPLICATES, id=one["id"]))["duplicates"]
    page = (await api.ask(DUPLICATES, first=1))["duplicates"]
    rest = (await api.ask(DUPLICATES, after=page["pageInfo"]["endCursor"]))["duplicates"]

    best = found["edges"][0]["node"]
    assert [edge["node"]["other"]["id"] for edge in found["edges"]] == [other["id"], third["id"]]
    assert (best["contact"], best["matchedOn"]) == ({"id": one["id"]}, ["name", "phone"])
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"], len(rest["edges"])) == (3, True, 2)
    assert (await api.ask("query($id: ID!) { node(id: $id) { id } }", id=best["id"]))["node"] == {"id": best["id"]}
    marked = await api.ask(
        f"mutation($a: ID!, $b: ID!) {{ markNotDuplicate(input: {{contactId: $a, otherId: $b}})"
        f" {{ contact {{ id }} other {{ id }} {PROBLEMS} }} }}",
        a=one["id"], b=other["id"],
    )  # fmt: skip
    assert marked["markNotDuplicate"] == {"contact": {"id": one["id"]}, "other": {"id": other["id"]}, "userErrors": []}
    left = (await api.ask(DUPLICATES, id=one["id"]))["duplicates"]
    assert [edge["node"]["other"]["id"] for edge in left["edges"]] == [third["id"]]


async def test_a_survivors_new_email_is_refused_to_others_as_its_own(api):
    ada, king = await two(api)
    await merge(api, ada, king)

    data = await api.ask(REGISTER, input={"displayName": "Third", "emails": [{"address": "king@example.com"}]})

    (error,) = data["registerContact"]["userErrors"]
    assert (error["rule"], error["existing"]["id"]) == ("email.taken", ada["id"])


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_edits_between_merge_and_unmerge_comes_apart_again(api, seed):
    chance = Random(seed)  # noqa: S311  # an order of edits, no secret
    ada, king = await two(api)
    mine = {ada["id"]: (["vip"], ["ada@example.com"], []), king["id"]: ([], ["king@example.com"], [])}
    merged_at = chance.randrange(4)
    for step in range(12):
        if step == merged_at:
            assert (await merge(api, ada, king))["userErrors"] == []
        meant = chance.choice([ada, king])["id"]
        tags, emails, happened = mine[meant]
        match chance.randrange(3):
            case 0:
                tags.append(f"tag {step}")
                data = await api.ask(UPDATE, input={"id": meant, "addTags": [tags[-1]]})
            case 1:
                emails.append(f"{step}@example.com")
                data = await api.ask(UPDATE, input={"id": meant, "addEmails": [{"address": emails[-1]}]})
            case _:
                happened.append((await record(api, contactIds=[meant]))["id"])
                continue
        assert data["updateContact"]["userErrors"] == []

    payload = await unmerge(api, king)

    assert (payload["userErrors"], payload["undecided"], payload["lost"]) == ([], [], [])
    for contact in (ada, king):
        page, (tags, emails, happened) = await shown(api, contact), mine[contact["id"]]
        assert sorted(page["tags"]) == sorted(tags)
        assert sorted(email["address"] for email in page["emails"]) == sorted(emails)
        assert {node["id"] for node in page["timeline"]["nodes"]} == set(happened)
        assert page["interactionCount"] == len(happened)
