"""What would be: other chances change what is weighted, other promises what is broken; `crm-es replay` says so."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from crm_es.catalog import AGGREGATES
from crm_es.errors import InvalidInputError
from crm_es.eventstore.codec import Codec
from crm_es.projector import supposing
from crm_es.projector.replay import Replay, at_position, at_time
from crm_es.projector.supposing import Supposition
from crm_es.service.enums import Priority, SlaKind
from projections import READ_MODELS
from tests.api.conftest import a_place
from tests.oracle import desk
from tests.oracle.history import History
from tests.oracle.sales import SalesHistory

pytestmark = pytest.mark.anyio
SOME = [model for model in READ_MODELS if model.NAME in supposing.MODELS]
CHANCES = "SELECT DISTINCT name, probability FROM scratch__pipelines.stage WHERE workspace_id = %s"
BY_HAND = """
SELECT coalesce(sum(weighted_minor), 0), coalesce(sum(round(amount_minor * coalesce(probability_set, 0))), 0)
FROM {}.deal WHERE workspace_id = %s AND status = 'OPEN' AND record_status = 'ACTIVE' AND amount_currency IS NOT NULL
"""


@pytest.fixture
def place(ready_database, tmp_path):
    with a_place(ready_database, tmp_path) as made:
        yield made


@pytest.fixture
def figures(place):
    """Those of a workspace as it is now, supposing this."""

    def told(found, supposed=None):
        change = {} if supposed is None else {"change": supposed.change}
        replay = Replay(
            url=place.urls.projector,
            decode=Codec(AGGREGATES, place.keys).decode_each,
            models=SOME,
            name="scratch",
            **change,
        )
        with psycopg.connect(place.urls.owner, autocommit=True) as connection:
            (head,) = connection.execute(
                "SELECT sequence FROM es.head WHERE workspace_id = %s", [found.workspace]
            ).fetchone()
            moment = at_position(connection, found.workspace, head)
            replay.run(found.workspace, moment)
            rows = supposing.figures(connection, replay.name, found.workspace, moment.time)
            weighed = connection.execute(BY_HAND.format("scratch__pipelines"), [found.workspace]).fetchone()
            chances = dict(connection.execute(CHANCES, [found.workspace]).fetchall())
        return {(one.what, one.of): one.value for one in rows}, weighed, chances

    return told


async def test_other_chances_weigh_open_deals_otherwise(histories, figures):
    found = (await histories(31, 120, (), SalesHistory))["admin"]

    was, weighed, chances = figures(found)
    same, *_ = figures(found, Supposition(stages={}))
    never, _, hopeless = figures(found, Supposition(stages=dict.fromkeys(chances, Decimal(0))))

    assert same == was
    assert sum(was.values()) == weighed[0] > weighed[1]
    assert sum(never.values()) == weighed[1]  # what was said of single deals stands
    assert set(hopeless.values()) == {0}


async def test_other_promises_are_broken_otherwise(histories, figures):
    found = (await histories(32, 200, (History.register, *desk.DEEDS)))["admin"]

    def promise(seconds):
        targets = [{"kind": kind, "priority": each, "seconds": seconds} for kind in SlaKind for each in Priority]
        return Supposition(policies={"Gold": supposing._policy({"targets": targets})})

    was, *_ = figures(found)
    strict, *_ = figures(found, once := promise(1))
    lax, *_ = figures(found, promise(300_000_000))

    assert (once.met["policies"], [*once.unmet()]) == ({"Gold"}, [])

    def broken(told):
        return sum(value for (what, _), value in told.items() if what == "breaches")

    def depth(told):
        return {key: value for key, value in told.items() if key[0] == "open tickets"}

    assert broken(strict) >= broken(was) > broken(lax) == 0
    assert depth(was) == depth(strict) == depth(lax) != {}


def crm(place, *arguments):
    own = {k: v for k, v in os.environ.items() if not k.startswith("CRM_")}  # noqa: TID251  # the child's, not ours
    env = own | {
        "CRM_DATA_DIR": str(place.settings.data_dir), "CRM_DATABASE_URL": place.urls.app,
        "CRM_OWNER_DATABASE_URL": place.urls.owner, "CRM_PROJECTOR_DATABASE_URL": place.urls.projector,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "crm_es", "replay", *arguments], env=env, capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip


async def test_the_command_makes_compares_and_drops(histories, place, figures, tmp_path):
    found = (await histories(33, 60, (), SalesHistory))["admin"]
    *_, chances = figures(found)
    file = tmp_path / "hopeless.json"
    file.write_text(json.dumps({"stages": dict.fromkeys([*chances, "Tlaking"], 0)}))

    made = crm(
        place, "--to", "20", "--schema", "then", "--workspace", str(found.workspace), "--what-if", str(file)
    )  # fmt: skip
    dropped = crm(place, "--schema", "then", "--drop")
    again = crm(place, "--schema", "then", "--drop")

    assert made.returncode == 0, made.stderr
    assert "Tlaking by then. There were: " in made.stderr
    lines = made.stdout.splitlines()
    assert " in then__interactions, then__service_queues, " in lines[0]
    assert "in then_what_if__service_queues, then_what_if__pipelines" in lines[1]
    assert lines[2].split()[:3] in (["as", "it", "was"], ["Nothing", "to", "compare:"])
    assert len(dropped.stdout.splitlines()) == len(READ_MODELS) + 2
    assert again.stdout.splitlines() == ["There is nothing of a replay called then."]
    with psycopg.connect(place.urls.owner) as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'then%%'").fetchall()
    assert left == []


async def test_the_future_and_names_of_others_are_refused(place):
    with psycopg.connect(place.urls.owner) as connection:
        with pytest.raises(InvalidInputError) as future:
            at_time(connection, uuid4(), datetime(2100, 1, 1, tzinfo=UTC))
        with pytest.raises(InvalidInputError) as unknown:
            at_position(connection, uuid4(), 1)
    with pytest.raises(InvalidInputError) as name:
        Replay(url=place.urls.projector, decode=lambda _: [], models=SOME, name="pg_then")

    rules = [each.value.rule for each in (future, unknown, name)]
    assert rules == ["replay.future", "replay.position", "replay.schema"]


@pytest.mark.parametrize(
    "said",
    ["", "[stages]\nTalking = 2", "nonsense = 1\n[stages]\nTalking = 0.5", "[policies.Gold]\ntargets = 3", "= what"],
)
async def test_what_is_no_supposition_is_refused(tmp_path, said):
    file = tmp_path / "suppose.toml"
    file.write_text(said)

    with pytest.raises(InvalidInputError) as refused:
        Supposition.read(file)

    assert refused.value.rule == "suppose.malformed"


async def test_a_supposition_is_read(tmp_path):
    file = tmp_path / "suppose.toml"
    file.write_text(
        '[stages]\nTalking = 0.25\n[policies.Gold]\npaused_by = ["CUSTOMER"]\n'
        'targets = [{ kind = "RESOLUTION", priority = "HIGH", seconds = 3600 }]\n'
    )

    found = Supposition.read(file)

    assert found.stages == {"Talking": Decimal("0.25")}
    (target,) = found.policies["Gold"].targets
    assert (target.kind, target.priority, target.seconds) == (SlaKind.RESOLUTION, Priority.HIGH, 3600)
