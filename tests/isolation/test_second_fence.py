"""Row-level security alone: what stands when the application forgets its own predicate, or to say whose request it is."""

import json
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from crm_es.api import ids
from crm_es.reads.sql import Query
from tests.isolation.walking import places

pytestmark = pytest.mark.anyio
SEARCH = "search"
"""Its function reads the workspace from the setting: under row-level security text indexes would not be used."""

TABLES = """
SELECT n.nspname, c.relname, c.relrowsecurity, has_table_privilege('crm_app', c.oid, 'SELECT')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2
"""


@contextmanager
def connected(url, workspace=None):
    with psycopg.connect(url) as connection:
        if workspace is not None:
            connection.execute("SELECT set_config('app.workspace', %s, false)", [workspace])
        yield connection


def tables(place):
    """Every table that holds rows of workspaces, and whether it is fenced and the application may read it."""
    with connected(place.urls.owner) as owner:
        return owner.execute(TABLES).fetchall()


def readable(place):
    return [(schema, name) for schema, name, _, may in tables(place) if may]


def select(what, schema, name):
    return SQL("SELECT {} FROM {}").format(SQL(what), Identifier(schema, name))


async def test_every_table_of_workspaces_is_fenced(place, neighbours):  # noqa: ARG001  # furnished
    open_ = [f"{schema}.{name}" for schema, name, fenced, may in tables(place) if may and not fenced]

    assert len(readable(place)) > 20
    assert open_ == []


async def test_no_table_shows_rows_of_another_workspace(place, neighbours):
    ours, theirs = neighbours.ours.api.workspace, neighbours.theirs.api.workspace
    shown, canaries = [], []

    for schema, name in readable(place):
        with connected(place.urls.app, str(ours)) as connection:
            seen = connection.execute(select("DISTINCT workspace_id", schema, name)).fetchall()
            texts = connection.execute(select("*", schema, name)).fetchall()
        shown += [f"{schema}.{name}" for (workspace,) in seen if workspace == theirs]
        canaries += [f"{schema}.{name}" for row in texts if neighbours.theirs.word.lower() in str(row).lower()]

    assert shown == []
    assert canaries == []


async def test_the_neighbour_has_rows_in_most_of_them(place, neighbours):
    """So that nothing shown means something."""
    there = 0
    for schema, name in readable(place):
        with connected(place.urls.app, str(neighbours.theirs.api.workspace)) as connection:
            there += connection.execute(select("count(*) > 0", schema, name)).fetchone()[0]

    assert there > len(readable(place)) // 3


@pytest.mark.parametrize("workspace", [None, "", "not a workspace"])
async def test_a_request_that_does_not_say_whose_it_is_sees_an_error(place, neighbours, workspace):  # noqa: ARG001
    answered = []
    for schema, name in readable(place):
        with connected(place.urls.app, workspace) as connection:
            try:
                connection.execute(select("*", schema, name)).fetchall()
                answered.append(f"{schema}.{name}")
            except (psycopg.errors.UndefinedObject, psycopg.errors.InvalidTextRepresentation):
                continue

    assert answered == []


async def test_streams_are_read_by_the_workspace_they_are_of(place, neighbours):
    """With another workspace's setting the function's own predicate finds nothing, and without it neither."""
    ours, theirs = neighbours.ours.api.workspace, neighbours.theirs.api.workspace
    stream = neighbours.theirs.uuids["Contact"]
    with connected(place.urls.app, str(ours)) as connection:
        by_function = connection.execute(
            "SELECT stream FROM es.read_streams(%s, %s, %s, %s, NULL)", [ours, [stream], [0], 2**62]
        ).fetchall()
        by_hand = connection.execute("SELECT 1 FROM es.events WHERE originator_id = %s", [stream]).fetchall()
        theirs_by_hand = connection.execute("SELECT 1 FROM es.events WHERE workspace_id = %s", [theirs]).fetchall()

    assert [row for row in by_function if row[0] is not None] == by_hand == theirs_by_hand == []


@pytest.fixture
def forgetful(monkeypatch):
    """The application without its own predicate: every workspace's rows, as far as the database gives them."""
    original = Query.rows_of

    def rows_of(self, source, alias, *, twin=False):
        table, where = original(self, source, alias, twin=twin)
        if source.model != SEARCH:
            where[0] = SQL("({} OR true)").format(where[0])
        return table, where

    monkeypatch.setattr(Query, "rows_of", rows_of)


LISTS = [each for each in places("query", "Int") if each.argument == ("first",) and each.path != (SEARCH,)]


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("where", LISTS, ids=str)
async def test_lists_hold_nothing_of_theirs_when_the_application_forgets(neighbours, where):
    for query, variables in neighbours.asking.documents(where, [8]):
        body = await neighbours.post(query, variables)

        assert "errors" not in body, body
        assert ids.encode("Contact", neighbours.theirs.uuids["Contact"]) not in json.dumps(body)


@pytest.mark.usefixtures("forgetful")
async def test_records_of_theirs_are_nothing_when_the_application_forgets(neighbours):
    theirs = [*neighbours.theirs.ids().values()]
    theirs += [ids.encode("Event", neighbours.theirs.uuids[kind], sub=1) for kind in ("Contact", "Member")]
    ours = [*neighbours.ours.ids().values()]
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"

    hidden = await neighbours.post(query, {"ids": theirs})
    shown = await neighbours.post(query, {"ids": ours})

    assert hidden["data"]["nodes"] == [None] * len(theirs)
    assert [node["id"] for node in shown["data"]["nodes"]] == ours
