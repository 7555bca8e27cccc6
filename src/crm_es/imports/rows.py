"""Rows made ready for their steps. Nothing runs here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from crm_es.imports.identity import RowIdentities, RowIdentity
from crm_es.imports.inputs import RowProblem
from crm_es.imports.mapping import Mapping
from crm_es.imports.plan import Plan, PlannedStep, row_test
from crm_es.imports.reader import Row
from crm_es.imports.seams import RecordName
from crm_es.imports.tally import MEANT_FOR_FILE, Rejection


@dataclass(kw_only=True, slots=True)
class Prepared:
    """A row with the inputs of its steps: all are built before the first runs, so a bad cell stops the whole row."""

    row: Row
    identity: RowIdentity
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, RecordName] = field(default_factory=dict)
    rejected: bool = False

    @property
    def line(self) -> int:
        return self.row.line

    def wants(self, planned: PlannedStep) -> bool:
        return not self.rejected and planned.step.name in self.inputs

    def blanks(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """Its empty cells that a step reads, and the step."""
        empty = {column for column, cell in self.row.cells.items() if not cell}
        for planned in plan.steps if empty else ():
            if planned.step.name in self.inputs:
                yield from ((column, planned.step.name) for column in planned.columns if column in empty)


def prepare(plan: Plan, rows: Iterable[Row]) -> Iterator[Prepared | Rejection]:
    """Every row of the file, ready for all its steps, or refused."""
    identities = RowIdentities(plan.mapping.name, plan.mapping.key)
    last = _Last(plan.mapping)
    for row in rows:
        if row.problem:
            yield _unreadable(row)
        else:
            yield _prepared(plan, row, last.before(row.cells), identities.identify(row.cells))


def wanted(plan: Plan, rows: Iterable[Row]) -> Iterator[tuple[Row, list[PlannedStep]]]:
    """Rows that can be read, and the steps that their columns ask for."""
    last = _Last(plan.mapping)
    for row in rows:
        if not row.problem:
            yield row, list(_wanted(plan, row, last.before(row.cells)))


def _wanted(plan: Plan, row: Row, before: dict[str, str]) -> Iterator[PlannedStep]:
    for planned in plan.steps:
        if all(row_test(c, row.cells, before) for c in planned.step.when if c.record is None):
            yield planned


class _Last:
    """What rows that tell one story said last, in the columns that later ones are compared with."""

    def __init__(self, mapping: Mapping) -> None:
        looking = [c for step in mapping.steps for c in step.when if c.looks_back]
        self._columns = tuple(dict.fromkeys(name for c in looking for name in c.columns))
        self._follows = mapping.follows
        self._said: dict[tuple[str, ...], dict[str, str]] = {}

    def before(self, cells: dict[str, str]) -> dict[str, str]:
        """Of the row above; these cells take its place."""
        if not self._columns:
            return {}
        story = tuple(cells[name] for name in self._follows)
        found = self._said.get(story, {})
        self._said[story] = {name: cells[name] for name in self._columns}
        return found


def _unreadable(row: Row) -> Rejection:
    return _rejection(row, MEANT_FOR_FILE, "", "row.unreadable", row.problem or "")


def _prepared(plan: Plan, row: Row, before: dict[str, str], identity: RowIdentity | None) -> Prepared | Rejection:
    if identity is None:
        reason = "Another row has the same key and says something else. Name more columns in the mapping's `key`."
        return _rejection(row, MEANT_FOR_FILE, "", "row.key_taken", reason)
    view = plan.view(row.cells)
    prepared = Prepared(row=row, identity=identity)
    for name, record in plan.mapping.records.items():
        if key := record.key(row.cells):
            prepared.names[name] = RecordName(record=plan.names[name], key=key)
    for planned in _wanted(plan, row, before):
        try:
            prepared.inputs[planned.step.name] = planned.build(view, identity, plan.mapping.name)
        except RowProblem as exc:
            return _rejection(row, planned.step.name, ".".join(exc.field), "cell.invalid", exc.reason)
    return prepared


def _rejection(row: Row, step: str, field: str, rule: str, reason: str) -> Rejection:
    return Rejection(line=row.line, row=row.number, step=step, field=field, rule=rule, reason=reason)
