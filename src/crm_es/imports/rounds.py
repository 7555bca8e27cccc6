"""Rows on their way through the steps of a pass, in rounds: many at a time, and each as if the rows above it had gone before.

In a round every row whose turn it is takes its next step (`turns.py`). What a round does depends on the file and the log alone,
never on time, so a dry run does the same.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from crm_es.imports.inputs import RecordRef
from crm_es.imports.mapping import Condition
from crm_es.imports.plan import Plan, PlannedStep, holds
from crm_es.imports.rows import Prepared
from crm_es.imports.seams import RecordName, World
from crm_es.imports.steps import Done, Steps, Work, rejection
from crm_es.imports.tally import Tally
from crm_es.imports.turns import Going, Turns

FREE = 400
"""Rows of one round."""
KNOWN = 50_000
Fields = Mapping[RecordName, Mapping[str, str]]


class Flight(NamedTuple):
    """The appends of a round, all of them in the queue: those that come are written after them."""

    taken: asyncio.Task[list[Done]]
    ready: Sequence[Going]
    works: Sequence[Work]


@dataclass(kw_only=True, slots=True)
class Rounds:
    """`known` are records that were seen to exist; one that a row may have named otherwise is looked up again."""

    plan: Plan
    world: World
    workspace: UUID
    tally: Tally
    known: dict[RecordName, UUID] = field(default_factory=dict)
    _flights: list[Flight] = field(default_factory=list)

    async def round(self, turns: Turns) -> None:
        """One more, of rows that need not wait for those of the last one, whose appends may be under way; then that is ended."""
        ready = turns.free(FREE)
        if ready:
            await self._begin(turns, ready)
        while len(self._flights) > bool(ready):
            await self._land(turns)

    async def end(self, turns: Turns) -> None:
        """All appends are answered."""
        while self._flights:
            await self._land(turns)

    async def give_up(self) -> None:
        """What is under way after a failure: nobody will ask."""
        flights, self._flights = self._flights, []
        for flight in flights:
            flight.taken.cancel()
        await asyncio.gather(*(flight.taken for flight in flights), return_exceptions=True)

    async def _begin(self, turns: Turns, ready: Sequence[Going]) -> None:
        turns.learnt(await self._learn(ready))
        fields = await self._fields(ready)
        works = [work for one in ready if (work := self._next(one, fields)) is not None]
        queued = asyncio.Event()
        steps = Steps(world=self.world, workspace=self.workspace)
        taken = asyncio.create_task(steps.take(works, queued.set))
        taken.add_done_callback(lambda _: queued.set())
        self._flights.append(Flight(taken, ready, works))
        await queued.wait()

    async def _land(self, turns: Turns) -> None:
        """The first one under way: it is counted before those after it, whichever was answered first."""
        flight = self._flights[0]
        done = await flight.taken
        del self._flights[0]
        for one in done:
            self._count(one)
        for work in flight.works:
            for record in work.planned.changes if work.planned.renames else ():
                self.known.pop(work.row.names.get(record), None)  # type: ignore[arg-type]  # None is no name
        for going in flight.ready:
            turns.back(going)

    def _count(self, done: Done) -> None:
        planned, row, _ = done.work
        for error in done.errors[:1]:
            row.rejected = True
            path = ".".join(part for part in error["field"] or () if part != "input")
            self.tally.reject(rejection(row, planned, path, error["rule"], error["message"]))
        if not done.errors:
            self.tally.count(planned.step.name, done.verdict)

    async def _learn(self, ready: Iterable[Going]) -> Iterable[RecordName]:
        """Look up what is not known yet: an earlier row or step may have made it."""
        names = {name for one in ready for name in one.own | one.others if name not in self.known}
        if not names:
            return ()
        found = await self.world.look_up(names)
        self.known |= found
        for oldest in list(islice(self.known, max(0, len(self.known) - KNOWN))):
            del self.known[oldest]
        return found

    async def _fields(self, ready: Sequence[Going]) -> Fields:
        """The present state of every record that one of these may ask the state of; the rest of what they change is brought."""
        asked = {
            name
            for one in ready
            for planned in one.steps
            for c in planned.step.when
            if c.field is not None and (name := one.row.names.get(c.record or "")) in self.known
        }
        own = {name for one in ready for name in one.own if name in self.known} - asked
        if own:
            await self.world.bring({name: self.known[name] for name in own})
        return await self.world.fields({name: self.known[name] for name in asked}) if asked else {}

    def _next(self, one: Going, fields: Fields) -> Work | None:
        """The row's next step whose conditions hold now."""
        while one.steps:
            planned = one.steps.pop(0)
            conditions = (c for c in planned.step.when if c.record is not None)
            if all(self._holds(c, one.row, fields) for c in conditions):
                return self._resolved(planned, one.row)
        return None

    def _holds(self, condition: Condition, row: Prepared, fields: Fields) -> bool:
        name = row.names.get(condition.record or "")
        if condition.field is None:
            return (name in self.known) == condition.expected
        return name is not None and name in fields and holds(condition, fields[name][condition.field])

    def _resolved(self, planned: PlannedStep, row: Prepared) -> Work | None:
        """The input with ids in place of relations; None, and the row is refused, where a record is missing."""
        missing: list[tuple[str, RecordRef]] = []
        built: dict[str, Any] = self._with_ids(row.inputs[planned.step.name], "", missing)
        if not missing:
            return Work(planned, row, built)
        path, ref = missing[0]
        record = self.plan.mapping.records[ref.record]
        called = f"external id in {record.system}" if record.by == "external_id" else "name"
        reason = f"No {record.type} has {record.place} as its {called}."
        row.rejected = True
        self.tally.reject(rejection(row, planned, path, "relation.missing", reason))
        return None

    def _with_ids(self, value: Any, path: str, missing: list[tuple[str, RecordRef]]) -> Any:
        if isinstance(value, RecordRef):
            name = RecordName(record=self.plan.names[value.record], key=value.key)
            if name in self.known:
                return self.world.global_id(name, self.known[name])
            missing.append((path, value))
        if isinstance(value, dict):
            return {k: self._with_ids(v, f"{path}.{k}" if path else k, missing) for k, v in value.items()}
        if isinstance(value, list):
            return [self._with_ids(v, f"{path}.{n}", missing) for n, v in enumerate(value)]
        return value
