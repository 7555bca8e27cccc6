"""What a run tells does not depend on who answers first."""

import asyncio
from contextlib import nullcontext
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from graphql import build_schema

from crm_es.eventstore.commit import queued
from crm_es.imports.mapping import parse_mapping
from crm_es.imports.plan import make_plan
from crm_es.imports.rounds import FREE
from crm_es.imports.run import Import
from crm_es.imports.tally import Tally

pytestmark = pytest.mark.anyio

SCHEMA = build_schema("""
type Query { ok: Boolean }
type Payload { position: String }
input TicketInput { title: String! }
type Mutation { open(input: TicketInput!): Payload! close(input: TicketInput!): Payload! }
""")
MAPPING = """
name = "desk"
[[step]]
mutation = "open"
when = [{ column = "status", is = "new" }]
input = { title = { column = "case" } }
[[step]]
mutation = "close"
when = [{ column = "status", is = "done" }]
input = { title = { column = "case" } }
"""


class SlowToOpen:
    """A world that appends all in turn, and answers whoever opens when nothing else goes on any more."""

    run = uuid4()

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    async def do(self, mutation, given, _rows, *, fresh):
        assert fresh
        (queued.get() or pytest.fail)()
        if mutation == "close":
            self._closed.set()
        else:
            await self._closed.wait()
            for _ in range(100):
                await asyncio.sleep(0)
        if given["title"] == "2":
            refused = {"field": ["title"], "rule": "title.even", "message": "No."}
            return {"position": None, "replayed": False, "userErrors": [refused]}
        return {"position": 1, "replayed": False, "userErrors": []}

    def together(self):
        return nullcontext()

    async def recorded(self, _commands):
        return set()


class Watcher:
    async def begin_pass(self, number):
        pass

    async def advance(self, line, tally):
        pass


async def test_steps_are_counted_in_the_order_in_which_they_were_appended(tmp_path):
    rows = [f"{number},new" for number in range(FREE)] + [f"{FREE},done", f"{FREE + 2},new"]
    path = tmp_path / "desk.csv"
    path.write_text("\n".join(["case,status", *rows]))
    plan = make_plan(
        parse_mapping(MAPPING, source="desk.toml"), SCHEMA, ("case", "status"), ZoneInfo("UTC"), "desk.toml"
    )
    tally = Tally()

    await Import(plan=plan, path=path, world=SlowToOpen(), workspace=uuid4(), watcher=Watcher()).run(tally)

    assert list(tally.steps) == ["open", "close"]
    assert [(one.line, one.rule) for one in tally.rejections] == [(4, "title.even")]
