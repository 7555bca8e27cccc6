"""Operations that schemathesis makes of the schema, sent to a running server: none may fail in a way nobody thought of.

At least one of each root field in every run, more with --requests, ten thousand by `sh scripts/fuzz`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from graphql import OperationType, ValueNode
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from crm_es.api import ids
from crm_es.schema import text
from tests.api.served import served
from tests.commands.running import UNENCRYPTED
from tests.isolation.walking import SCHEMA
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
AT_ONCE = 4
REFUSALS = {
    "GRAPHQL_PARSE_FAILED",
    "BAD_USER_INPUT",
    "BAD_CURSOR",
    "AS_OF_OUT_OF_RANGE",
    "COST_EXCEEDED",
    "GRAPHQL_VALIDATION_FAILED",
}
"""What generated requests of an administrator may meet."""


def told(*texts: str) -> st.SearchStrategy[ValueNode]:
    return st.one_of(st.sampled_from(texts), st.text(max_size=20)).map(nodes.String)


SCALARS = {
    "DateTime": told("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "noon"),
    "Date": told("2026-01-01", "0001-01-01", "9999-12-31", "2026-02-30"),
    "Duration": told("P7D", "PT1H", "-P999999W", "PT99999999999.999999S", "P"),
    "Decimal": told("1.00", "-0", "999999999999999999999999999999.99999999999999999999", "1e5", "NaN"),
    "Position": told("0", "1", "7", "9223372036854775807", "9223372036854775808", "-1"),
    "TimeZone": told("Europe/Berlin", "../../etc/passwd", "UTC"),
    "UUID": told("01966c4e-7b0f-7000-8000-000000000001", "00000000-0000-0000-0000-000000000000"),
    "JSON": st.sampled_from([nodes.Object([]), nodes.String("words"), nodes.Null, nodes.Int("7")]),
}


def operations(known: list[str]) -> list[Any]:
    """Every root field but subscriptions. What is made of them is the same for the same schema, but for the ids."""
    for name, strategy in (SCALARS | {"ID": told(*known)}).items():
        schemathesis.graphql.scalar(name, strategy)
    schema = schemathesis.graphql.from_file(text())
    return [found.ok() for found in schema.get_all_operations()]


def examples(operation: Any, count: int) -> list[str]:
    made: list[str] = []

    @seed(20261121)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def collect(case: Any) -> None:
        made.append(str(case.body))

    collect()
    return made


def pool(neighbours: Any) -> list[str]:
    """Ids of ours and of theirs, present and past, of records and of what hangs on them."""
    found = ["", "x"]
    for side in (neighbours.ours, neighbours.theirs):
        found += [ids.encode(kind, id_, at) for kind, id_ in side.uuids.items() for at in (None, 3)]
        found += [ids.encode("Event", side.uuids["Contact"], sub=1), ids.encode("Change", side.uuids["Contact"], sub=9)]
    return found


@dataclass
class Range:
    """Where it is shot, and what came back: how many answers of each code, and what nobody thought of."""

    address: str
    canary: str
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)

    async def shoot(self, documents: list[str]) -> None:
        waiting = iter(documents)
        async with self._client() as client, asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._one_after_the_other(client, waiting))

    def _client(self) -> httpx.AsyncClient:
        """A new one each time: the server hangs up while operations are made."""
        headers, address = {"authorization": "Bearer admin"}, f"http://{self.address}"
        return httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE_SECONDS, verify=UNENCRYPTED)

    async def _one_after_the_other(self, client: httpx.AsyncClient, waiting: Iterator[str]) -> None:
        for document in waiting:
            response = await client.post("/graphql", json={"query": document})
            codes = {error["extensions"]["code"] for error in response.json().get("errors", ())}
            self.answers.update(codes or {"answered"})
            unthought = codes - REFUSALS - ({"TIMEOUT"} if codes & REFUSALS else set())  # beside what was refused
            if response.status_code >= 500 or unthought or self.canary in response.text.lower():
                self.faults.append((document, response.text))


async def test_generated_requests_cause_no_unhandled_error(new_neighbours, caplog, pytestconfig):
    neighbours, total = new_neighbours, pytestconfig.getoption("--requests")
    their_head, fields, sent = neighbours.theirs.head(), operations(pool(neighbours)), 0

    taking = sum(
        bool(SCHEMA.get_root_type(OperationType(root.lower())).fields[name].args)
        for root, name in (each.label.split(".") for each in fields)
    )  # of the others there are few to make

    async with served(neighbours.ours.api.app) as address:
        shots = Range(address, neighbours.theirs.word.lower())
        for each in fields:
            documents = await asyncio.to_thread(examples, each, -(-total // taking))
            await shots.shoot(documents)
            sent += len(documents)
        health = await neighbours.ours.api.http.get("/healthz")

    print(f"\n{sent:,} requests to {len(fields)} root fields: {dict(shots.answers)}")  # noqa: T201  # the figure
    assert not shots.faults, "\n\n".join(f"{document}\n{answer}" for document, answer in shots.faults[:5])
    assert shots.answers["answered"] > sent // 20
    assert health.status_code == 200
    assert neighbours.theirs.head() == their_head
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
