"""The real file of opportunities through its mapping: what its dates tell, and what a rehearsal tells."""

import csv

import pytest

from crm_es.imports.command import told
from tests.imports.office import EXAMPLES

pytestmark = pytest.mark.anyio

MAPPING = EXAMPLES / "sales_pipeline.toml"
SOME = ("1C1I7A6R", "Z063OYW0", "KWVA7VR1", "HAXMC4IX", "6CWZFOHJ", "3LCLVRVV")
DEALS = """{ deals(first: 10, orderBy: [{ field: NAME }]) { nodes {
  name status openedAt closedAt amount { amount currency } lostReason owner { name } company { name }
  lines { product { name } quantity } stageIntervals { stage { name } from to } } } }"""


def rows_of(office, file, wanted):
    """A file with the header and these rows of the real one."""
    with file.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    chosen = [header, *(row for row in rows if row[0] in wanted)]
    return office.file(file.name, "".join(",".join(row) + "\n" for row in chosen))


@pytest.fixture
async def opportunities(office, data):
    """Some opportunities; what they name is there."""
    folder = data / "crm-sales"
    file = rows_of(office, folder / "sales_pipeline.csv", SOME)
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for name, column in (("accounts", "account"), ("products", "product"), ("sales_teams", "sales_agent")):
        wanted = {row[column] for row in rows} | {"GTX Pro"}
        await office.run(EXAMPLES / f"{name}.toml", rows_of(office, folder / f"{name}.csv", wanted))
    return file


async def test_opportunities_have_the_history_their_dates_tell(office, opportunities):
    await office.run(MAPPING, opportunities)

    deals = {
        deal.pop("name").removeprefix("Opportunity "): deal for deal in (await office.ask(DEALS))["deals"]["nodes"]
    }
    assert set(deals) == set(SOME)
    assert deals["Z063OYW0"] == {
        "status": "WON",
        "openedAt": "2016-10-25T00:00:00Z",
        "closedAt": "2017-03-11T00:00:00Z",
        "amount": {"amount": "4514.00", "currency": "USD"},
        "lostReason": None,
        "owner": {"name": "Darcel Schlecht"},
        "company": {"name": "Isdom"},
        "lines": [{"product": {"name": "GTX Pro"}, "quantity": "1"}],
        "stageIntervals": [
            {"stage": {"name": "Engaging"}, "from": "2016-10-25T00:00:00Z", "to": "2017-03-11T00:00:00Z"},
            {"stage": {"name": "Won"}, "from": "2017-03-11T00:00:00Z", "to": None},
        ],
    }
    lost, open_, prospect = deals["KWVA7VR1"], deals["HAXMC4IX"], deals["3LCLVRVV"]
    assert (lost["status"], lost["lostReason"], lost["amount"]) == ("LOST", "The file gives none.", None)
    assert (open_["status"], open_["closedAt"], open_["company"]) == ("OPEN", None, None)
    assert [each["stage"]["name"] for each in prospect["stageIntervals"]] == ["Prospecting"]
    assert prospect["openedAt"] > "2018"  # the file has no date for it: when it was imported


async def test_a_rehearsal_tells_what_the_run_then_does(office, opportunities):
    before = office.events()

    rehearsed = await office.run(MAPPING, opportunities, dry_run=True)
    untouched = office.events()
    done = await office.run(MAPPING, opportunities)
    again = await office.run(MAPPING, opportunities)

    assert untouched == before
    assert office.events() - before == rehearsed.events
    assert told(done, dry_run=False).splitlines()[1:] == told(rehearsed, dry_run=True).splitlines()[1:-1]
    assert "  account is empty in 2 rows (1 engaged, 1 prospect)" in told(rehearsed, dry_run=True).splitlines()
    assert "  engage_date is empty in 2 rows (2 prospect)" in told(rehearsed, dry_run=True).splitlines()
    assert again.tally.recorded == 0


async def test_a_corrected_row_of_a_closed_deal_is_refused_and_told(office, opportunities):
    await office.run(MAPPING, opportunities)

    corrected = await office.run(MAPPING, office.file("part.csv", opportunities.read_text().replace("4514", "4600")))

    [refusal] = corrected.tally.rejections
    assert (refusal.step, refusal.rule) == ("won", "deal.closed")
