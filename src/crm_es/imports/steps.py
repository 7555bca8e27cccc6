"""One step for the rows of one wave: its conditions, its mutations, what they answered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from crm_es.errors import InvalidInputError, NotAllowedError
from crm_es.imports.inputs import RecordRef
from crm_es.imports.mapping import Condition
from crm_es.imports.plan import INGESTED, Batched, Plan, PlannedStep, holds
from crm_es.imports.seams import RecordName, World
from crm_es.imports.tally import Rejection, Tally, Verdict
from crm_es.imports.waves import Prepared

Work = tuple[Prepared, dict[str, Any]]
"""A row, and its input of the step, ids and all."""
Fields = Mapping[RecordName, Mapping[str, str]]


@dataclass(kw_only=True, slots=True)
class Wave:
    """Rows that go through the steps together, and the records they speak of."""

    plan: Plan
    world: World
    workspace: UUID
    tally: Tally
    rows: Sequence[Prepared]
    known: dict[RecordName, UUID] = field(default_factory=dict)

    async def run(self, steps: Iterable[PlannedStep]) -> None:
        for planned in steps:
            wanting = [row for row in self.rows if row.wants(planned)]
            if wanting:
                await self._learn(wanting)
                for turn in turns(planned, wanting):
                    await self._turn(planned, turn)

    async def _learn(self, rows: Iterable[Prepared]) -> None:
        """Look up what is not known yet: an earlier step may have made it."""
        names = {name for row in rows for name in row.names.values()} - self.known.keys()
        if names:
            self.known |= await self.world.look_up(names)

    async def _turn(self, planned: PlannedStep, rows: list[Prepared]) -> None:
        of_records = [c for c in planned.step.when if c.record is not None]
        fields = await self._fields(of_records, rows)
        chosen = [row for row in rows if all(self._holds(c, row, fields) for c in of_records)]
        ready = [(row, built) for row in chosen if (built := self._resolved(planned, row)) is not None]
        if not ready:
            return
        await self._do(planned, ready)
        if of_records:
            await self._learn(row for row, _ in ready)

    async def _do(self, planned: PlannedStep, ready: list[Work]) -> None:
        """What has a name of its own in its channel goes together, the rest one by one: a batch has one commandId, and
        another run may cut its batches elsewhere."""
        if not (planned.batched and planned.ingests):
            return await self._singly(planned, ready)
        named = [(row, built) for row, built in ready if built.keys() >= INGESTED]
        known = await self.world.ingested({_named(built) for _, built in named})
        for _, built in named:
            if _named(built) in known:
                self.tally.count(planned.step.name, Verdict.ALREADY)
        await self._together(planned, planned.batched, [one for one in named if _named(one[1]) not in known])
        return await self._singly(planned, [(row, built) for row, built in ready if not built.keys() >= INGESTED])

    async def _fields(self, conditions: Sequence[Condition], rows: Iterable[Prepared]) -> Fields:
        records = {c.record for c in conditions if c.field is not None}
        names = {n for row in rows for r, n in row.names.items() if r in records and n in self.known}
        return await self.world.fields({name: self.known[name] for name in names}) if names else {}

    def _holds(self, condition: Condition, row: Prepared, fields: Fields) -> bool:
        name = row.names.get(condition.record or "")
        if condition.field is None:
            return (name in self.known) == condition.expected
        return name in self.known and holds(condition, fields[name][condition.field])

    def _resolved(self, planned: PlannedStep, row: Prepared) -> dict[str, Any] | None:
        """The input with ids in place of relations; None, and the row is refused, where a record is missing."""
        missing: list[tuple[str, RecordRef]] = []
        built: dict[str, Any] = self._with_ids(row.inputs[planned.step.name], "", missing)
        for path, ref in missing[:1]:
            record = self.plan.mapping.records[ref.record]
            called = f"external id in {record.system}" if record.by == "external_id" else "name"
            self._refuse(
                planned, row, path, "relation.missing", f"No {record.type} has {record.place} as its {called}."
            )
        return None if missing else built

    def _with_ids(self, value: Any, path: str, missing: list[tuple[str, RecordRef]]) -> Any:
        if isinstance(value, RecordRef):
            name = RecordName(record=value.record, key=value.key)
            if name in self.known:
                return self.world.global_id(name, self.known[name])
            missing.append((path, value))
        if isinstance(value, dict):
            return {k: self._with_ids(v, f"{path}.{k}" if path else k, missing) for k, v in value.items()}
        if isinstance(value, list):
            return [self._with_ids(v, f"{path}.{n}", missing) for n, v in enumerate(value)]
        return value

    async def _singly(self, planned: PlannedStep, ready: list[Work]) -> None:
        """One after the other: of two rows with the same email the first in the file has it, in a dry run as in the run.
        Measured, 16 at once are no faster."""
        commands = {row.row.number: row.identity.command_id(self.workspace, planned.step.name) for row, _ in ready}
        before = await self.world.recorded(commands.values())
        for row, built in ready:
            command = commands[row.row.number]
            if command in before:
                self.tally.count(planned.step.name, Verdict.ALREADY)
                continue
            payload = await self._answer(planned, planned.document, {**built, "commandId": str(command)}, [row])
            if payload is not None and not self._refused(planned, row, payload["userErrors"]):
                self.tally.count(planned.step.name, _verdict(payload))

    async def _together(self, planned: PlannedStep, batched: Batched, ready: list[Work]) -> None:
        """All in one append; where one is refused, row by row."""
        if not ready:
            return
        payload = await self._batch(planned, batched, ready, all_or_none=True)
        if payload is not None and payload["userErrors"] and len(ready) > 1:
            payload = await self._batch(planned, batched, ready, all_or_none=False)
        if payload is None:
            return
        answers = {answer["index"]: answer for answer in payload["rows"]}
        for index, (row, _) in enumerate(ready):
            answer = answers.get(index, {"userErrors": []})
            if not self._refused(planned, row, _of_row(payload, answer, batched.field, index)):
                self.tally.count(planned.step.name, _row_verdict(payload, answer))

    async def _batch(
        self,
        planned: PlannedStep,
        batched: Batched,
        ready: list[Work],
        *,
        all_or_none: bool,
    ) -> Mapping[str, Any] | None:
        commands = [row.identity.command_id(self.workspace, planned.step.name) for row, _ in ready]
        command = uuid5(self.world.run, f"{all_or_none} {' '.join(map(str, commands))}")
        rows = [built for _, built in ready]
        built = {batched.field: rows, "allOrNone": all_or_none, "commandId": str(command)}
        return await self._answer(planned, batched.document, built, [row for row, _ in ready])

    async def _answer(
        self, planned: PlannedStep, document: str, input: Mapping[str, Any], rows: list[Prepared]
    ) -> Mapping[str, Any] | None:
        try:
            return await self.world.execute(document, input, [row.row.number for row in rows])
        except (InvalidInputError, NotAllowedError) as exc:
            for row in rows:
                self._refuse(planned, row, ".".join(exc.field), exc.rule, exc.message)
            return None

    def _refused(self, planned: PlannedStep, row: Prepared, errors: Sequence[Mapping[str, Any]]) -> bool:
        for error in errors[:1]:
            path = ".".join(part for part in error["field"] or () if part != "input")
            self._refuse(planned, row, path, error["rule"], error["message"])
        return bool(errors)

    def _refuse(self, planned: PlannedStep, row: Prepared, field: str, rule: str, reason: str) -> None:
        row.rejected = True
        self.tally.reject(
            Rejection(
                line=row.row.line, row=row.row.number, step=planned.step.name, field=field, rule=rule, reason=reason
            )
        )


def turns(planned: PlannedStep, rows: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Rows that ask about the same record take their turns, in the file's order; all others go at once."""
    asked = {c.record for c in planned.step.when if c.record is not None}
    turns: list[list[Prepared]] = []
    next_turn: dict[RecordName, int] = {}
    for row in rows:
        names = [name for record, name in row.names.items() if record in asked]
        turn = max((next_turn.get(name, 0) for name in names), default=0)
        next_turn |= dict.fromkeys(names, turn + 1)
        if turn == len(turns):
            turns.append([])
        turns[turn].append(row)
    yield from turns


def _named(built: Mapping[str, Any]) -> tuple[str, str]:
    return built["channel"], built["externalId"]


def _verdict(payload: Mapping[str, Any]) -> Verdict:
    if payload["replayed"]:
        return Verdict.ALREADY
    return Verdict.UNCHANGED if payload["position"] is None else Verdict.RECORDED


def _row_verdict(payload: Mapping[str, Any], answer: Mapping[str, Any]) -> Verdict:
    if "created" in answer and not answer["created"]:
        return Verdict.ALREADY
    return _verdict(payload)


def _of_row(payload: Mapping[str, Any], answer: Mapping[str, Any], field: str, index: int) -> list[Mapping[str, Any]]:
    """A row's errors: its own, and the batch's that name it or no row; paths seen from the row."""
    errors: list[Mapping[str, Any]] = []
    for error in (*answer["userErrors"], *payload["userErrors"]):
        path = [part for part in error["field"] or () if part != "input"]
        if path[:1] != [field] or path[:2] in ([field], [field, str(index)]):
            errors.append({**error, "field": path[2:] if path[:1] == [field] else path})
    return errors
