"""The shape of a query of the past reads the twin in list order, by index, also under row-level security."""

from uuid import uuid4

import psycopg

from tests.projector.boxes import BoxMade, BoxMoved

PAST = """
SELECT id, place
FROM ((SELECT id, place FROM boxes.box
       WHERE workspace_id = %(w)s AND position <= %(p)s
       ORDER BY place, id LIMIT 5)
      UNION ALL
      (SELECT id, place FROM boxes.box_history
       WHERE workspace_id = %(w)s AND position <= %(p)s AND valid_to_position > %(p)s
       ORDER BY place, id LIMIT 5)) AS r
ORDER BY place, id
LIMIT 5
"""


def test_a_page_of_the_past_reads_the_twin_by_its_order_index(database, log, workspace, projector):
    made = [(uuid4(), BoxMade(place=f"{n:04}")) for n in range(300)]
    log.append(workspace, *made)
    for turn in range(3):
        log.append(workspace, *[(box, BoxMoved(place=f"{turn}{n:04}")) for n, (box, _) in enumerate(made)])
    projector.drain()
    with psycopg.connect(database.projector, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE boxes.box, boxes.box_history")

    with psycopg.connect(database.app, autocommit=True) as app:
        app.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
        moment = {"w": workspace, "p": 750}
        plan = "\n".join(row[0] for row in app.execute("EXPLAIN " + PAST, moment))
        answer = [place for _, place in app.execute(PAST, moment)]

    assert "box_history_by_place" in plan
    assert "Seq Scan" not in plan
    assert answer == sorted(answer)
    assert answer[0].startswith("0")
