"""Incidents of the real log through their mapping: every line is somewhere afterwards, and the queue is as deep as they say."""

import csv
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from crm_es.imports.tally import Verdict
from tests.imports.office import EXAMPLES
from tests.imports.proving import prove_all

pytestmark = pytest.mark.anyio

MAPPING = EXAMPLES / "incidents.toml"
SOME = frozenset({"69", "2797", "2241", "577", "6561", "1879", "397"})
"""Between them they know every status, every way a line can repeat or change, and the two lines that no ticket can follow."""
TICKETS = """{ tickets(first: 100) { nodes { label: externalIds { value } title status holdReason assignee { name }
  statusIntervals { status holdReason assignee { name } from to } } } }"""
KNOWN = {"2012-03-31": 315, "2012-04-30": 1_997, "2012-05-10": 570, "2012-05-23": 8}
NOTES = """query($type: InteractionType!) { interactions(first: 100, filter: { type: { eq: $type } }) {
  nodes { subject direction occurredAt ticket { title } } } }"""


def lines_of(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def incidents(office, data):
    """Some incidents, whole."""
    header, *lines = (data / "service-desk" / "incidents.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    return office.file("incidents.csv", header + "".join(line for line in lines if line.split(",")[0] in SOME))


def moment(text):
    return datetime.fromisoformat(text)


def open_at(lines, at):
    """How many incidents were begun and not completed at a moment."""
    last = {}
    for line in lines:
        if moment(line["changed_at"]) <= at:
            last[line["case_id"]] = line["status"]
    return sum(status != "Completed" for status in last.values())


async def test_every_line_is_somewhere_afterwards(office, incidents):
    lines = lines_of(incidents)

    done = await office.run(MAPPING, incidents)

    counts = {step: {verdict.value: n for verdict, n in found.items() if n} for step, found in done.tally.steps.items()}
    assert counts["ticket"] == {"recorded": len(SOME)}
    kept = sum(counts[step]["recorded"] for step in ("work_log", "in_other_words", "still_queued"))
    moved = counts["taken"]["recorded"] + counts["queued"]["recorded"]
    begun = sum(line["status"] == "Queued" for line in {one["case_id"]: one for one in reversed(lines)}.values())
    assert kept + moved + begun + done.tally.rejected == len(lines)
    assert "unchanged" not in counts["taken"]
    assert [(one.step, one.rule) for one in done.tally.rejections] == [("taken", "ticket.closed")] * 2
    assert counts["closed_before"] == {"recorded": 1}
    repeated = sum(
        now[1:4] == before[1:4]
        for case in SOME
        for before, now in pairwise([tuple(line.values()) for line in lines if line["case_id"] == case])
    )
    assert counts["work_log"] == {"recorded": repeated}
    assert len((await office.ask(NOTES, type="NOTE"))["interactions"]["nodes"]) == repeated + 1


async def test_a_ticket_has_the_history_of_its_incident(office, incidents):
    await office.run(MAPPING, incidents)

    tickets = {one["title"]: one for one in (await office.ask(TICKETS))["tickets"]["nodes"]}

    assert {one["label"][0]["value"] for one in tickets.values()} == SOME
    told = [
        (one["status"], one["holdReason"], (one["assignee"] or {}).get("name"))
        for one in tickets["Incident 69"]["statusIntervals"]
    ]
    assert told == [
        ("NEW", None, None),
        ("OPEN", None, "Andre"),
        ("OPEN", None, None),
        ("OPEN", None, "Aparna"),
        ("OPEN", None, "Venkata"),
        ("PENDING", "CUSTOMER", "Venkata"),
        ("ON_HOLD", "IMPLEMENTATION", "Venkata"),
        ("RESOLVED", None, "Venkata"),
        ("CLOSED", None, "Siebel"),
    ]


async def depths(office, moments):
    asked = " ".join(f'd{n}: depth(at: "{at.isoformat()}")' for n, at in enumerate(moments))
    [queue] = (await office.ask(f"{{ queues {{ nodes {{ {asked} }} }} }}"))["queues"]["nodes"]
    return [queue[f"d{n}"] for n in range(len(moments))]


async def test_the_queue_is_as_deep_as_the_lines_say(office, incidents):
    lines = lines_of(incidents)
    await office.run(MAPPING, incidents)

    moments = {moment(line["changed_at"]) for line in lines}
    asked = sorted(moments | {at - timedelta(seconds=1) for at in moments} | {datetime(2009, 1, 1, tzinfo=UTC)})

    for at_once in [asked[start : start + 30] for start in range(0, len(asked), 30)]:
        assert await depths(office, at_once) == [open_at(lines, at) for at in at_once]


async def test_incidents_are_not_recorded_twice(office, incidents):
    first = await office.run(MAPPING, incidents)
    before = office.events()

    again = await office.run(MAPPING, incidents)

    assert office.events() == before
    assert again.tally.recorded == 0
    assert [(one.line, one.rule) for one in again.tally.rejections] == [
        (one.line, one.rule) for one in first.tally.rejections
    ]
    assert sum(found[Verdict.ALREADY] for found in again.tally.steps.values()) > 0


@pytest.mark.slow
async def test_the_whole_log_is_imported_and_holds(office, data):
    file = data / "service-desk" / "incidents.csv"
    lines = lines_of(file)

    done = await office.run(MAPPING, file)

    counts = {step: found[Verdict.RECORDED] for step, found in done.tally.steps.items()}
    assert (done.tally.rows, done.tally.rejected) == (65_533, 13)
    assert (counts["ticket"], counts["work_log"]) == (7_554, 8_121)
    assert office.sql("SELECT count(*) FROM es.events WHERE topic = 'ticket.reopened'") == [(580,)]
    assert (await office.ask("{ tickets { totalCount } }"))["tickets"]["totalCount"] == 7_554
    moments = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in KNOWN]
    assert await depths(office, moments) == [open_at(lines, at) for at in moments] == list(KNOWN.values())
    prove_all(office)
