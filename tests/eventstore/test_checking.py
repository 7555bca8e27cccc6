"""Reservations compared with the fold of their streams."""

from uuid import uuid4

import pytest

from crm_es.eventstore.checking import ReservationFault, reservation_faults
from crm_es.eventstore.commit import Append, Freed, Taken
from tests.eventstore.samples import AGGREGATES, FIRM, PERSON, FirmFounded, PersonAdded, PersonChanged, command

pytestmark = pytest.mark.anyio


async def some_history(store, workspace):
    ids = [uuid4() for _ in range(6)]
    for n, id_ in enumerate(ids):
        await store.create(command(workspace), PERSON, id_, [PersonAdded(email=f"{n}@x.io")])
    await store.decide(command(workspace), PERSON, ids[0], lambda _state: [PersonChanged(email=None)])
    await store.decide(command(workspace), PERSON, ids[1], lambda _state: [PersonChanged(email="0@x.io")])
    await store.create(command(workspace), FIRM, uuid4(), [FirmFounded(name="X", domain="x.io")])
    return ids


async def test_the_store_keeps_them_as_the_fold_says(store, workspace, monkeypatch):
    monkeypatch.setattr("crm_es.eventstore.checking.PAGE", 2)
    await some_history(store, workspace)

    assert await reservation_faults(store, AGGREGATES, workspace) == frozenset()
    assert len(await store.reserved(workspace)) == 6


async def test_lost_stale_and_misplaced_ones_are_found(store, workspace):
    ids = await some_history(store, workspace)
    stranger = uuid4()
    two, three, new = (store.hashed(workspace, "email", value) for value in ("2@x.io", "3@x.io", "9@x.io"))
    await store.recorder.commits.append(
        Append(
            command=command(workspace),
            freed=[Freed("email", two, ids[2]), Freed("email", three, ids[3])],
            taken=[Taken("email", three, stranger), Taken("email", new, stranger)],
        )
    )

    faults = await reservation_faults(store, AGGREGATES, workspace)

    assert faults == {
        ReservationFault("email", two, None, ids[2]),
        ReservationFault("email", three, stranger, ids[3]),
        ReservationFault("email", new, stranger, None),
    }
