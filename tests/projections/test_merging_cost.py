"""A merge reads the records of those it merges and no others, also where the planner knows nothing of the tables yet."""

from typing import Any
from uuid import uuid4

import pytest

from crm_es.projector.leader import connect
from crm_es.projector.statements import in_schema
from projections.interactions.statements import REKEY as REKEY_INTERACTIONS
from projections.milestones.statements import REKEY as REKEY_MILESTONES
from projections.pipelines.parties import REKEY as REKEY_DEALS

MANY = 300
LINKS = {
    "interactions": (
        REKEY_INTERACTIONS,
        "interaction_contact (interaction_id, type, occurred_at, created_at, visibility,",
        "md5(n::text)::uuid, 'NOTE', now(), now(), 'SHARED',",
    ),
    "milestones": (
        REKEY_MILESTONES,
        "milestone_contact (milestone_id, entity_id, occurred_at,",
        "md5(n::text)::uuid, md5(n::text)::uuid, now(),",
    ),
    "pipelines": (
        REKEY_DEALS,
        "deal_contact (deal_id, place, is_primary,",
        "md5(n::text)::uuid, 0, false,",
    ),
}
"""Of each read model, what a merge does to its links, and how those are written: one record each, of a contact of its own."""
WRITE = """
INSERT INTO {schema}.{into} workspace_id, contact_id, means_id, canonical_id, removed, position)
SELECT {given} %s, md5('c' || n)::uuid, md5('c' || n)::uuid, md5('c' || n)::uuid, false, n
FROM generate_series(1, %s) n
"""


@pytest.mark.parametrize("schema", LINKS)
def test_a_merge_reads_no_records_but_those_of_whom_it_merges(database, rows, schema):
    rekey, into, given = LINKS[schema]
    workspace, survivor = uuid4(), uuid4()
    with connect(database.projector) as connection:
        connection.execute(WRITE.format(schema=schema, into=into, given=given), [workspace, MANY])
        [(absorbed,)] = connection.execute(f"SELECT contact_id FROM {schema}.{into.split()[0]} LIMIT 1").fetchall()
        told = {"workspace_id": workspace, "position": MANY + 1, "absorbed": [absorbed], "target": survivor}
        explained = connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + in_schema(rekey, schema), told).fetchone()

    assert explained
    [plan] = explained[0]
    assert 0 < read(plan["Plan"]) < 20
    moved = rows(f"SELECT contact_id FROM {schema}.{into.split()[0]} WHERE canonical_id = %s", survivor)
    assert moved == [(absorbed,)]


def read(node: dict[str, Any]) -> float:
    """How many rows the scans in a plan looked at."""
    own = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return (own if "Scan" in node["Node Type"] else 0) + sum(map(read, node.get("Plans", ())))
