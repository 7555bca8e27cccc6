"""The real files, whole, through their mappings: what must be there afterwards, and that twice is once."""

import pytest

from tests.imports.office import EXAMPLES

pytestmark = pytest.mark.anyio

PURCHASES = """
query {
  contacts { totalCount }
  interactions(filter: { type: { eq: PURCHASE } }) { totalCount summary { count amount { amount currency } quantity } }
  first: interactions(first: 1, orderBy: [{ field: OCCURRED_AT, direction: ASC }]) { nodes { occurredAt } }
  last: interactions(first: 1, orderBy: [{ field: OCCURRED_AT, direction: DESC }]) { nodes { occurredAt } }
  one: contacts(filter: { externalId: { eq: { system: "cdnow", value: "00004" } } }) {
    nodes { displayName interactionCount interactions(orderBy: [{ field: OCCURRED_AT }]) {
      nodes { type subject occurredAt quantity amount { amount currency } channel } } } }
}"""

KNOWN_TO_PLANNER = "SELECT reltuples::integer FROM pg_class WHERE oid = 'interactions.interaction'::regclass"


def check_purchases(found):
    assert found["contacts"]["totalCount"] == 2_357
    assert found["interactions"]["totalCount"] == 6_919
    assert found["interactions"]["summary"]["amount"] == [{"amount": "244091.94", "currency": "USD"}]
    assert found["first"]["nodes"][0]["occurredAt"].startswith("1997-01-01T00:00:00")
    assert found["last"]["nodes"][0]["occurredAt"].startswith("1998-06-30T00:00:00")


async def test_cdnow_is_whole_and_twice_is_once(office, data):
    file, mapping = data / "purchases" / "cdnow_sample.txt", EXAMPLES / "cdnow.toml"

    first = await office.run(mapping, file)

    found = await office.ask(PURCHASES)
    check_purchases(found)
    [customer] = found["one"]["nodes"]
    assert (customer["displayName"], customer["interactionCount"]) == ("Customer 00004", 4)
    purchase = customer["interactions"]["nodes"][0]
    assert (purchase["subject"], purchase["quantity"], purchase["channel"]) == ("2 CDs", "2", "cdnow")
    assert purchase["amount"] == {"amount": "29.33", "currency": "USD"}
    assert (first.tally.rows, first.tally.rejected, first.tally.recorded) == (6_919, 0, 2_357 + 6_919)
    assert office.sql(KNOWN_TO_PLANNER) == [(6_919,)]

    before = office.events()
    again = await office.run(mapping, file)

    assert again.tally.recorded == 0
    assert office.events() == before
    check_purchases(await office.ask(PURCHASES))


@pytest.mark.slow
async def test_an_importer_killed_twice_in_the_middle_is_taken_up(office, data):
    file, mapping = data / "purchases" / "cdnow_sample.txt", EXAMPLES / "cdnow.toml"
    arguments = ("import", str(mapping), str(file), "--workspace", office.name)

    office.killed(*arguments, when=1_500)
    office.killed(*arguments, when=5_000)
    done = office.command(*arguments)

    assert done.returncode == 0, done.stderr
    check_purchases(await office.ask(PURCHASES))
    [(runs, status)] = office.sql("SELECT count(*), min(status) FROM es.import_run")
    assert (runs, status) == (1, "DONE")


async def test_accounts_are_whole_with_their_parents(office, data):
    await office.run(EXAMPLES / "accounts.toml", data / "crm-sales" / "accounts.csv")
    before = office.events()
    again = await office.run(EXAMPLES / "accounts.toml", data / "crm-sales" / "accounts.csv")

    found = await office.ask(
        "{ companies(first: 100) { totalCount nodes { name industry annualRevenue { amount currency } employeeCount foundedYear"
        " country parent { name } subsidiaries { totalCount } addresses { label lines country } } } }"
    )
    companies = {company["name"]: company for company in found["companies"]["nodes"]}
    assert found["companies"]["totalCount"] == 85
    assert companies["Bluth Company"] == {
        "name": "Bluth Company",
        "industry": "technology",
        "annualRevenue": {"amount": "1242320000.00", "currency": "USD"},
        "employeeCount": 3027,
        "foundedYear": 1993,
        "country": "US",
        "parent": {"name": "Acme Corporation"},
        "subsidiaries": {"totalCount": 0},
        "addresses": [{"label": "office", "lines": ["United States"], "country": "US"}],
    }
    assert companies["Bioholding"]["country"] == "PH"
    assert companies["Bioholding"]["addresses"][0]["lines"] == ["Philippines"]
    assert companies["Cheers"]["parent"] == {"name": "Massive Dynamic"}  # which stands further down
    assert sum(company["parent"] is not None for company in companies.values()) == 15
    assert again.tally.recorded == 0
    assert office.events() == before


async def test_sales_teams_are_members_without_a_login(office, data):
    await office.run(EXAMPLES / "sales_teams.toml", data / "crm-sales" / "sales_teams.csv")
    before = office.events()
    again = await office.run(EXAMPLES / "sales_teams.toml", data / "crm-sales" / "sales_teams.csv")

    found = await office.ask(
        "{ teams { name } members(first: 100) { nodes { name email team { name } manager { name } } } }"
    )
    members = {member["name"]: member for member in found["members"]["nodes"]}
    assert {team["name"] for team in found["teams"]} == {"Central", "East", "West"}
    assert len(members) == 35 + 6
    assert members["Moses Frase"] == {
        "name": "Moses Frase",
        "email": None,
        "team": {"name": "Central"},
        "manager": {"name": "Dustin Brinkmann"},
    }
    assert members["Celia Rouche"]["team"] == {"name": "West"}
    assert again.tally.recorded == 0
    assert office.events() == before
