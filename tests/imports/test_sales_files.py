"""The real file of opportunities through its mapping; the whole of it compared with sums over the file, loaded as text."""

import csv
from contextlib import contextmanager
from decimal import Decimal

import psycopg
import pytest

from crm_es.imports.telling import told
from tests.imports.office import EXAMPLES
from tests.imports.proving import prove_all

pytestmark = pytest.mark.anyio

MAPPING = EXAMPLES / "sales_pipeline.toml"
SOME = ("1C1I7A6R", "Z063OYW0", "KWVA7VR1", "HAXMC4IX", "6CWZFOHJ", "3LCLVRVV")
DEALS = """{ deals(first: 10, orderBy: [{ field: NAME }]) { nodes {
  name status openedAt closedAt amount { amount currency } lostReason owner { name } company { name }
  lines { product { name } quantity } stageIntervals { stage { name } from to } } } }"""

WHOLE = """query($won: DealFilter, $lost: DealFilter) {
  won: deals(filter: $won) { summary { count amount { amount currency } } }
  lost: deals(filter: $lost) { totalCount }
  members(first: 100) { nodes { id name } }
  pipelines { nodes { externalIds { system value } stages { name deals { totalCount } }
    days: trend(from: "2017-01-01", to: "2017-12-31", interval: DAY) { date openCount } } } }"""
MONTHS = """{{ pipelines {{ nodes {{ {of_each} }} }} }}"""
MONTHS_OF = """{name}: trend(from: "2017-01-01", to: "2017-12-31", interval: MONTH, filter: {{ ownerId: {{ eq: "{id}" }} }}) {{
  date wonCount wonAmount {{ amount currency }} }}"""
AT_ONCE = 25  # aliases of a document
CREATE = """CREATE TEMPORARY TABLE opportunity (id text, agent text, product text, account text, stage text, engaged text,
  closed text, value text)"""
WON = """
SELECT agent, to_char(to_date(closed, 'MM/DD/YYYY'), 'YYYY-MM-01'), count(*), sum(value::numeric)
FROM opportunity WHERE stage = 'Won' GROUP BY 1, 2"""
OPEN = """
SELECT count(*) FROM opportunity
WHERE engaged <> '' AND to_date(engaged, 'MM/DD/YYYY') <= %(day)s
  AND NOT (closed <> '' AND to_date(closed, 'MM/DD/YYYY') <= %(day)s)"""
KNOWN = {"2017-03-31": 1_330, "2017-06-30": 1_686, "2017-09-30": 2_409, "2017-12-31": 1_589}


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


@pytest.mark.slow
async def test_all_opportunities_are_there_as_the_file_has_them(office, data):
    folder = data / "crm-sales"
    for name in ("accounts", "products", "sales_teams"):
        await office.run(EXAMPLES / f"{name}.toml", folder / f"{name}.csv")

    done = await office.run(MAPPING, folder / "sales_pipeline.csv")

    assert (done.tally.rows, done.tally.rejected) == (8_800, 0)
    empty = {column: sum(steps.values()) for column, steps in done.tally.blanks.items()}
    assert empty == {"account": 1_425, "engage_date": 500}
    found = await office.ask(WHOLE, won={"status": {"eq": "WON"}}, lost={"status": {"eq": "LOST"}})
    assert found["won"]["summary"] == {"count": 4_238, "amount": [{"amount": "10005534.00", "currency": "USD"}]}
    assert found["lost"]["totalCount"] == 2_473
    [board] = found["pipelines"]["nodes"]
    assert board["externalIds"] == [{"system": "crm-sales", "value": "opportunities"}]
    standing = {stage["name"]: stage["deals"]["totalCount"] for stage in board["stages"]}
    assert standing == {"Prospecting": 500, "Engaging": 1_589, "Won": 4_238, "Lost": 2_473}
    by_day = {point["date"]: point["openCount"] for point in board["days"]}
    with loaded(office, folder / "sales_pipeline.csv") as rows:
        for day, expected in KNOWN.items():
            assert (by_day[day], rows(OPEN, day=day)) == (expected, [(expected,)])
        in_file = rows(WON)
    assert len({agent for agent, *_ in in_file}) == 30
    assert {(*key, *won) for key, won in (await won_by(office, found["members"]["nodes"])).items()} == set(in_file)
    prove_all(office)


@contextmanager
def loaded(office, file):
    """The file in a table of text, and how to ask it."""
    with psycopg.connect(office.urls.owner) as connection:
        connection.execute(CREATE)
        with connection.cursor().copy("COPY opportunity FROM STDIN WITH (FORMAT csv, HEADER, NULL '-')") as copy:
            copy.write(file.read_bytes())
        yield lambda statement, **given: connection.execute(statement, given).fetchall()


async def won_by(office, members):
    """(agent, month): how many, for how much; where there were any."""
    found = {}
    for start in range(0, len(members), AT_ONCE):
        asked = {f"m{n}": member for n, member in enumerate(members[start : start + AT_ONCE])}
        of_each = " ".join(MONTHS_OF.format(name=name, id=member["id"]) for name, member in asked.items())
        [board] = (await office.ask(MONTHS.format(of_each=of_each)))["pipelines"]["nodes"]
        for name, point in ((asked[name]["name"], point) for name, points in board.items() for point in points):
            if point["wonCount"]:
                [money] = point["wonAmount"]
                assert money["currency"] == "USD"
                found[name, point["date"]] = point["wonCount"], Decimal(money["amount"])
    return found
