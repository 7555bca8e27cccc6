"""Rows on their way through the steps of a pass, in rounds: many at a time, and each as if the rows above it had gone before.

In a round every row that is free takes its next step. A row waits while one above it is on its way to change a record that it
names, or with a record that it changes itself, asks the state of, or needs and nobody knows yet. What a round does depends on
the file and the log alone, never on time, so a dry run does the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from crm_es.imports.inputs import RecordRef
from crm_es.imports.mapping import Condition
from crm_es.imports.plan import Plan, PlannedStep, holds
from crm_es.imports.rows import Prepared
from crm_es.imports.seams import RecordName, World
from crm_es.imports.steps import Steps, Work, rejection
from crm_es.imports.tally import Tally

FREE = 400
"""Rows of one round."""
KNOWN = 50_000
Fields = Mapping[RecordName, Mapping[str, str]]


@dataclass(kw_only=True, slots=True)
class Going:
    """A row on its way: the steps before it, the records it must have for itself, and those that it needs."""

    row: Prepared
    steps: list[PlannedStep]
    own: frozenset[RecordName]
    others: frozenset[RecordName]

    @classmethod
    def of(cls, row: Prepared, steps: Iterable[PlannedStep]) -> "Going":
        wanted = [planned for planned in steps if row.wants(planned)]
        own = {row.names[r] for planned in wanted for r in planned.changes if r in row.names}
        needed = {row.names[r] for planned in wanted for r in planned.records if r in row.names}
        return cls(row=row, steps=wanted, own=frozenset(own), others=frozenset(needed - own))

    @property
    def done(self) -> bool:
        return self.row.rejected or not self.steps


def free(going: Iterable[Going], known: Mapping[RecordName, UUID], at_most: int = FREE) -> list[Going]:
    """Those that need not wait for a row above, in the order of the file."""
    found: list[Going] = []
    taken: set[RecordName] = set()
    changed: set[RecordName] = set()
    for one in going:
        names = one.own | (one.others - known.keys())
        if taken.isdisjoint(names) and changed.isdisjoint(one.others):
            found.append(one)
            if len(found) == at_most:
                break
        taken |= names
        changed |= one.own
    return found


@dataclass(kw_only=True, slots=True)
class Rounds:
    """`known` are records that were seen to exist; one that a row changed is looked up again."""

    plan: Plan
    world: World
    workspace: UUID
    tally: Tally
    known: dict[RecordName, UUID] = field(default_factory=dict)

    async def round(self, going: Sequence[Going]) -> None:
        ready = free(going, self.known)
        await self._learn(ready)
        fields = await self._fields(ready)
        works = [work for one in ready if (work := self._next(one, fields)) is not None]
        await Steps(world=self.world, workspace=self.workspace, tally=self.tally).take(works)
        for work in works:
            for record in work.planned.changes:
                self.known.pop(work.row.names.get(record), None)  # type: ignore[arg-type]  # None is no name

    async def _learn(self, ready: Iterable[Going]) -> None:
        """Look up what is not known yet: an earlier row or step may have made it."""
        names = {name for one in ready for name in one.own | one.others if name not in self.known}
        if names:
            self.known |= await self.world.look_up(names)
            for oldest in list(self.known)[: max(0, len(self.known) - KNOWN)]:
                del self.known[oldest]

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
