"""What events are asked for by: each filter finds its own, and by an index."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from crm_es.api.ids import encode
from crm_es.reads import filters, pages
from crm_es.reads.model import read_of
from crm_es.reads.operands import DateTimeFilter, IDFilter, PositionFilter, StringFilter
from crm_es.reads.pages import Listed
from crm_es.reads.sql import Query, Viewer
from crm_es.workspaces import audit, team
from crm_es.workspaces.audit import EventFilter
from tests.api.test_contacts import UPDATE, register

LISTED = (
    """query($filter: EventFilter) { events(filter: $filter, first: 100) { totalCount nodes { type position } } }"""
)
ANY, RUN = uuid4(), uuid4()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = [
    ("type", StringFilter(eq="team.created"), "type"),
    ("type", StringFilter(in_=["team.created", "team.updated"]), "type"),
    ("type", StringFilter(starts_with="Team."), "type"),
    ("type", StringFilter(contains="eam.cre"), "type"),
    ("field", StringFilter(eq="jobTitle"), "type"),
    ("field", StringFilter(in_=["jobTitle", "name"]), "type"),
    ("field", StringFilter(starts_with="jobt"), "type"),
    ("entity_id", IDFilter(eq=encode("Team", ANY)), "stream"),
    ("actor_id", IDFilter(eq=encode("Member", ANY)), "actor"),
    ("command_id", ANY, "command"),
    ("correlation_id", ANY, "correlation"),
    ("position", PositionFilter(gt="100000"), "pkey"),
    ("occurred_at", DateTimeFilter(gt=NOW), "occurred"),
    ("recorded_at", DateTimeFilter(gt=NOW), "recorded"),
]
INDEXES = """
SELECT i.indexrelid::regclass::text, c.conname
FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
WHERE i.indrelid = 'audit_trail.event'::regclass
"""


async def filled(api):
    ada = (await register(api, displayName="Ada"))["id"]
    await api.ask(UPDATE, input={"id": ada, "jobTitle": "Pilot"})
    for number in range(100):
        await api.begin(team.TEAM, team.create(f"Team {number}"))
    await api.begin(team.TEAM, team.create("From a file"), correlation_id=RUN)
    await api.projected()
    return ada


@pytest.mark.anyio
async def test_each_finds_its_own(api):
    ada = await filled(api)

    async def found(**filter_):
        return (await api.ask(LISTED, who="auditor", filter=filter_))["events"]["totalCount"]

    now = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await found(type={"eq": "team.created"}) == await found(type={"startsWith": "TEAM.c"}) == 101
    assert await found(type={"in": ["team.created", "contact.updated"]}) == 102
    assert await found(type={"contains": "updat"}) == await found(field={"eq": "jobTitle"}) == 1
    assert await found(field={"in": ["jobTitle", "owner"]}) == await found(field={"startsWith": "jobt"}) == 1
    assert await found(field={"in": []}) == await found(type={"in": []}) == await found(type={"isNull": True}) == 0
    assert await found(type={"eq": "team.created", "contains": "x"}) == 0
    assert await found(**{"not": {"type": {"startsWith": "team."}}}) == 7
    assert await found(entityId={"eq": ada}) == 2
    assert await found(correlationId=str(RUN)) == 1
    assert await found(recordedAt={"lt": now}) == await found(occurredAt={"lt": now}) == 108
    assert await found(recordedAt={"gt": now}) == 0


UNKNOWN = [
    ({"type": {"eq": "deal.wno"}}, ["type", "eq"], "deal.won"),
    ({"type": {"in": ["deal.won", "deal.lst"]}}, ["type", "in", "1"], "deal.lost"),
    ({"type": {"startsWith": "dael."}}, ["type", "startsWith"], "deal."),
    ({"type": {"contains": "nonesuch"}}, ["type", "contains"], "docs/events.md"),
    ({"field": {"eq": "jobtitle"}}, ["field", "eq"], "jobTitle"),
    ({"field": {"in": ["shoeSize"]}}, ["field", "in", "0"], "No event changes such a field: shoeSize."),
    ({"field": {"startsWith": "primaryMail"}}, ["field", "startsWith"], "primaryEmail"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("filter_", "path", "near"), UNKNOWN)
async def test_a_name_that_is_none_is_refused_with_those_near_it(shared_api, filter_, path, near):
    """An empty list would tell an auditor that it never happened."""
    ada = (await register(shared_api, displayName="Ada"))["id"]
    of_one = "query($id: ID!, $filter: EventFilter) { contact(id: $id) { history(filter: $filter) { totalCount } } }"

    for query, inner in ((LISTED, filter_), (LISTED, {"not": filter_}), (of_one, filter_)):
        response = await shared_api.post(query, who="auditor", variables={"id": ada, "filter": inner})
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["field"] == ["filter", *(["not"] if "not" in inner else []), *path]
        assert near in error["message"]


def explained(connection, field, operand, index):
    """The plan, where there is no index but this one and nothing may be read from end to end."""
    read, query = read_of(audit.Event), Query(Viewer(workspace=uuid4(), member_id=None, now=NOW), None)
    listed = Listed(read=read, via=None, keys=(), conditions=(filters.condition(EventFilter(**{field: operand})),))
    statement = pages.count(query, [listed], None).as_string(connection)
    with connection.transaction(force_rollback=True):
        for name, constraint in connection.execute(INDEXES).fetchall():
            if constraint and not constraint.endswith(index):
                connection.execute(f"ALTER TABLE audit_trail.event DROP CONSTRAINT {constraint}")
            elif not name.endswith(index):
                connection.execute(f"DROP INDEX {name}")
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL ROLE crm_app")
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(uuid4())])
        with psycopg.RawCursor(connection) as cursor:
            return "\n".join(row[0] for row in cursor.execute("EXPLAIN " + statement, query.parameters))


def test_each_is_served_by_an_index(ready_database):
    with psycopg.connect(ready_database.owner) as connection:
        for field, operand, index in SAID:
            plan = explained(connection, field, operand, index)

            column = {"entity_id": "stream_id", "field": "type"}.get(field, field)
            (condition,) = [line for line in plan.splitlines() if "Index Cond" in line]
            assert index in plan, plan
            assert column in condition, plan
