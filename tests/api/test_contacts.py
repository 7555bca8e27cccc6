"""Contacts from a mutation to what pages show."""

import pytest

pytestmark = pytest.mark.anyio

PROBLEMS = "userErrors { __typename code rule field message ... on AlreadyExists { existing { id label } } }"
REGISTER = f"""
mutation Register($input: RegisterContactInput!) {{
  registerContact(input: $input) {{
    contact {{ id liveId version recordStatus displayName primaryEmail lifecycleStage tags
      emails {{ address label primary verified }} phones {{ number primary }} addresses {{ lines city country }}
      identities {{ channel externalId }} externalIds {{ system value }} owner {{ id name }} interactionCount viewerCan }}
    position projected replayed {PROBLEMS}
  }}
}}"""
UPDATE = f"""
mutation Update($input: UpdateContactInput!) {{
  updateContact(input: $input) {{
    contact {{ id version displayName givenName familyName jobTitle primaryEmail tags company {{ id }}
      emails {{ address primary }} }}
    position projected replayed {PROBLEMS}
  }}
}}"""


async def register(api, **given):
    data = await api.ask(REGISTER, input={"displayName": "Ada Lovelace"} | given)
    payload = data["registerContact"]
    assert payload["userErrors"] == [], payload
    return payload["contact"]


async def test_a_registered_contact_is_answered_and_listed(api):
    owner = api.id("Member", api.known["sales"].member_id)
    data = await api.ask(
        REGISTER,
        input={
            "givenName": "Ada", "familyName": "Lovelace", "ownerId": owner, "tags": ["VIP", "vip"],
            "emails": [{"address": "Ada@Example.com", "label": "work"}, {"address": "ada@home.test", "primary": True}],
            "phones": [{"number": "+49 151 12345678"}], "identities": [{"channel": "whatsapp", "externalId": "4915"}],
            "addresses": [{"lines": ["12 St James's Square"], "city": "London", "country": "gb"}],
            "externalIds": [{"system": "cdnow", "value": "00004"}], "lifecycleStage": "LEAD",
        },
    )  # fmt: skip

    contact = data["registerContact"]["contact"]
    assert data["registerContact"]["projected"] is True
    assert contact["displayName"] == "Ada Lovelace"
    assert contact["primaryEmail"] == "ada@home.test"
    assert contact["emails"] == [
        {"address": "Ada@Example.com", "label": "work", "primary": False, "verified": False},
        {"address": "ada@home.test", "label": None, "primary": True, "verified": False},
    ]
    assert contact["phones"] == [{"number": "+4915112345678", "primary": True}]
    assert contact["addresses"] == [{"lines": ["12 St James's Square"], "city": "London", "country": "GB"}]
    assert contact["tags"] == ["VIP", "vip"]
    assert contact["owner"] == {"id": owner, "name": "Sales"}
    assert contact["interactionCount"] == 0
    assert "MERGE" in contact["viewerCan"]
    listed = await api.ask("{ contacts { totalCount nodes { id } } }")
    assert listed["contacts"] == {"totalCount": 1, "nodes": [{"id": contact["id"]}]}


async def test_a_taken_email_points_at_itself_and_at_its_holder(api):
    first = await register(api, emails=[{"address": "ada@example.com"}])

    data = await api.ask(
        REGISTER,
        input={"displayName": "Other", "emails": [{"address": "free@example.com"}, {"address": "ADA@example.com"}]},
    )

    (error,) = data["registerContact"]["userErrors"]
    assert data["registerContact"]["contact"] is None
    assert (error["__typename"], error["rule"], error["field"]) == ("AlreadyExists", "email.taken", ["emails", "1"])
    assert error["existing"] == {"id": first["id"], "label": "Ada Lovelace"}


async def test_an_update_leaves_what_is_absent_and_clears_what_is_null(api):
    contact = await register(api, givenName="Ada", jobTitle="Analyst", emails=[{"address": "ada@example.com"}])

    data = await api.ask(
        UPDATE, input={"id": contact["id"], "jobTitle": None, "familyName": "King", "addTags": ["new"]}
    )

    changed = data["updateContact"]["contact"]
    assert (changed["givenName"], changed["familyName"], changed["jobTitle"]) == ("Ada", "King", None)
    assert changed["tags"] == ["new"]
    assert changed["primaryEmail"] == "ada@example.com"
    assert changed["version"] > contact["version"]


async def test_past_and_present_of_one_contact_have_ids_of_their_own(api):
    contact = await register(api, displayName="Before")
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await api.ask(UPDATE, input={"id": contact["id"], "displayName": "After"})

    data = await api.ask(
        "query($id: ID!, $then: Position!) { now: contact(id: $id) { id displayName asOf }"
        " past: contact(id: $id, asOf: {position: $then}) { id liveId displayName asOf } }",
        id=contact["id"], then=then,
    )  # fmt: skip

    assert data["now"] == {"id": contact["id"], "displayName": "After", "asOf": None}
    assert data["past"]["displayName"] == "Before"
    assert data["past"]["liveId"] == contact["id"] != data["past"]["id"]
    assert data["past"]["asOf"] == then
    again = await api.ask(
        "query($id: ID!) { node(id: $id) { id ... on Contact { displayName } } }", id=data["past"]["id"]
    )
    assert again["node"] == {"id": data["past"]["id"], "displayName": "Before"}
    refused = await api.ask(UPDATE, input={"id": data["past"]["id"], "displayName": "Never"})
    assert [(e["rule"], e["field"]) for e in refused["updateContact"]["userErrors"]] == [("id.past", ["id"])]
