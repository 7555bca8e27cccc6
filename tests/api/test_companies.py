"""Companies from a mutation to what pages show."""

import pytest

from tests.api.test_contacts import PROBLEMS, register
from tests.api.test_interactions import record

pytestmark = pytest.mark.anyio

FIELDS = """id version recordStatus name domains parent { id } industry annualRevenue { amount currency } employeeCount
  foundedYear country addresses { lines } owner { id } tags externalIds { system value } archivedAt"""
REGISTER = f"""
mutation Register($input: RegisterCompanyInput!) {{
  registerCompany(input: $input) {{ company {{ {FIELDS} }} position projected {PROBLEMS} }}
}}"""
UPDATE = f"""
mutation Update($input: UpdateCompanyInput!) {{
  updateCompany(input: $input) {{ company {{ {FIELDS} }} position {PROBLEMS} }}
}}"""


async def company(api, **given):
    payload = (await api.ask(REGISTER, input={"name": "Acme"} | given))["registerCompany"]
    assert payload["userErrors"] == [], payload
    return payload["company"]


async def update(api, **given):
    return (await api.ask(UPDATE, input=given))["updateCompany"]


def problems(payload):
    return [(error["rule"], error["field"]) for error in payload["userErrors"]]


async def test_a_registered_company_is_answered_whole(api):
    made = await company(
        api, name="Acme Corporation", domains=["https://Acme.example/about"], industry="retail", country="us",
        annualRevenue={"amount": "251.41", "currency": "USD"}, employeeCount=1165, foundedYear=1996, tags=["key"],
        externalIds=[{"system": "accounts", "value": "Acme"}], addresses=[{"lines": ["1 Road Runner Way"]}],
    )  # fmt: skip

    assert made["domains"] == ["acme.example"]
    assert made["annualRevenue"] == {"amount": "251.41", "currency": "USD"}
    assert (made["employeeCount"], made["foundedYear"], made["country"]) == (1165, 1996, "US")
    assert made["externalIds"] == [{"system": "accounts", "value": "Acme"}]
    listed = await api.ask(
        '{ companies(filter: {domain: {eq: "acme.example"}, tag: {eq: "key"}, name: {startsWith: "ÁCME"},'
        ' externalId: {eq: {system: "accounts", value: "Acme"}}}) { nodes { id } } }'
    )
    assert listed["companies"]["nodes"] == [{"id": made["id"]}]


async def test_a_taken_domain_points_at_itself_and_at_its_holder(api):
    first = await company(api, domains=["acme.example"])
    other = await company(api, name="Other", domains=["other.example"])

    new = (await api.ask(REGISTER, input={"name": "Third", "domains": ["x.example", "acme.example"]}))[
        "registerCompany"
    ]
    changed = await update(api, id=other["id"], addDomains=["acme.example"])

    assert problems(new) == [("domain.taken", ["domains", "1"])]
    assert new["userErrors"][0]["existing"] == {"id": first["id"], "label": "Acme"}
    assert problems(changed) == [("domain.taken", ["addDomains", "0"])]


async def test_a_company_cannot_stand_below_itself(api):
    top = await company(api)
    middle = await company(api, name="Middle", parentId=top["id"])
    bottom = await company(api, name="Bottom", parentId=middle["id"])

    refused = await update(api, id=top["id"], parentId=bottom["id"])

    assert problems(refused) == [("company.parent_cycle", ["parentId"])]
    page = await api.ask(
        "query($id: ID!) { company(id: $id) { subsidiaries { totalCount nodes { name parent { name } } } } }",
        id=top["id"],
    )
    assert page["company"]["subsidiaries"] == {
        "totalCount": 1,
        "nodes": [{"name": "Middle", "parent": {"name": "Acme"}}],
    }


async def test_null_clears_and_absent_stays(api):
    made = await company(api, industry="retail", employeeCount=7, tags=["a", "b"], domains=["acme.example"])

    changed = await update(
        api,
        id=made["id"],
        industry=None,
        removeTags=["a"],
        addTags=["c"],
        removeDomains=["acme.example"],
        foundedYear=1999,
    )

    found = changed["company"]
    assert (found["industry"], found["employeeCount"], found["foundedYear"]) == (None, 7, 1999)
    assert (found["tags"], found["domains"]) == (["b", "c"], [])
    assert problems(await update(api, id=made["id"], name=None)) == [("field.required", ["name"])]
    assert problems(await update(api, id=made["id"], foundedYear=-5)) == [("number.out_of_range", ["foundedYear"])]


async def test_an_archived_company_leaves_lists_and_frees_its_domains_until_restored(api):
    made = await company(api, domains=["acme.example"])
    archive = f"mutation($id: ID!) {{ archiveCompany(input: {{id: $id}}) {{ company {{ recordStatus }} {PROBLEMS} }} }}"
    restore = f"mutation($id: ID!) {{ restoreCompany(input: {{id: $id}}) {{ company {{ recordStatus }} {PROBLEMS} }} }}"

    archived = await api.ask(archive, id=made["id"])
    await company(api, name="Successor", domains=["acme.example"])
    refused = await api.ask(restore, id=made["id"])

    assert archived["archiveCompany"]["company"]["recordStatus"] == "ARCHIVED"
    assert [error["rule"] for error in refused["restoreCompany"]["userErrors"]] == ["domain.taken"]
    listed = await api.ask(
        "{ companies { nodes { name } } all: companies(filter: {recordStatus: {eq: ARCHIVED}}) { totalCount } }"
    )
    assert listed == {"companies": {"nodes": [{"name": "Successor"}]}, "all": {"totalCount": 1}}


async def test_a_companys_people_and_what_happened_with_it(api):
    made = await company(api)
    ada, zoe = await register(api, companyId=made["id"]), await register(api, displayName="Zoë", companyId=made["id"])
    await register(api, displayName="Elsewhere")
    called = await record(api, type="CALL", companyId=made["id"], contactIds=[ada["id"]])

    page = await api.ask(
        "query($id: ID!) { company(id: $id) { contacts { nodes { id company { name } } }"
        " timeline(types: [CALL]) { nodes { id } } none: timeline(types: [NOTE]) { totalCount } } }",
        id=made["id"],
    )

    assert page["company"]["contacts"]["nodes"] == [
        {"id": ada["id"], "company": {"name": "Acme"}}, {"id": zoe["id"], "company": {"name": "Acme"}}
    ]  # fmt: skip
    assert page["company"]["timeline"]["nodes"] == [{"id": called["id"]}]
    assert page["company"]["none"]["totalCount"] == 0
