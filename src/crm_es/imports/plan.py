"""A mapping bound to the schema and to a file's columns: for each row, the mutations it asks for. Nothing runs here."""

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from zoneinfo import ZoneInfo

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
)

from crm_es.imports.identity import RowIdentity
from crm_es.imports.inputs import Fields, Relation, RowView, bind_input
from crm_es.imports.mapping import Condition, Mapping, Step
from crm_es.imports.table import Problems, did_you_mean

INGESTED = frozenset({"channel", "externalId"})
OWN = frozenset({"id", "survivorId", "absorbedId"})
"""Input fields that name the records a mutation changes."""
REMEMBERED = 2_000
"""Inputs of a step, by the cell that they were built of."""
RENAMING = ("archive", "restore", "merge", "unmerge")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batched:
    """The mutation that takes many of this one's inputs in one append, and the list field that holds them."""

    mutation: str
    field: str


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """A step with its input bound, and its like for many rows where there is one."""

    step: Step
    inputs: Fields
    batched: Batched | None
    ingests: bool
    """The mutation records once for each (channel, externalId)."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All that it reads, of conditions too."""
        tested = (condition.column for condition in self.step.when if condition.column is not None)
        return tuple(dict.fromkeys((*self.inputs.columns(), *tested)))

    @cached_property
    def records(self) -> frozenset[str]:
        """What it asks for, or names by id: they must be there first, where a row above makes them."""
        asked = (c.record for c in self.step.when if c.record is not None)
        return frozenset((*asked, *self.inputs.records()))

    @cached_property
    def changes(self) -> frozenset[str]:
        """What it changes, or asks for the state of: rows of one such record go one after the other."""
        watched = (c.record for c in self.step.when if c.record is not None and c.field is not None)
        own = (
            node.record.name for name, node in self.inputs.fields.items() if name in OWN and isinstance(node, Relation)
        )
        return frozenset((*watched, *own))

    @cached_property
    def renames(self) -> bool:
        """Whether what it changes may be found under another name afterwards, or not at all."""
        named = any(field == "name" or field.endswith("xternalIds") for field in self.inputs.fields)
        return named or self.step.mutation.startswith(RENAMING)

    def build(self, view: RowView, identity: RowIdentity, mapping: str) -> dict[str, Any]:
        """The input for one row; what is ingested without a name of its own is named by the row. Raises: RowProblem."""
        built = self._built(view)
        if self.ingests and not built.keys() & INGESTED:
            built |= {"channel": mapping, "externalId": identity.key}
        return built

    def _built(self, view: RowView) -> dict[str, Any]:
        """What reads one cell, or none, says the same in many rows."""
        if self._cell is None:
            return cast("dict[str, Any]", self.inputs.build(view))
        cell = view.cells.get(self._cell, "")
        if cell not in self._said:
            if len(self._said) == REMEMBERED:
                self._said.clear()
            self._said[cell] = self.inputs.build(view)
        return self._said[cell].copy()

    @cached_property
    def _cell(self) -> str | None:
        """The one column that the input reads; None where it reads several."""
        columns = set(self.inputs.columns())
        return None if len(columns) > 1 else columns.pop() if columns else ""

    @cached_property
    def _said(self) -> dict[str, dict[str, Any]]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done with every row of a file."""

    mapping: Mapping
    zone: ZoneInfo
    passes: tuple[tuple[PlannedStep, ...], ...]

    @cached_property
    def names(self) -> MappingOf[str, str]:
        """For each record of the mapping the first that means the same: a company, and the parent of another."""
        first: dict[tuple[str | None, ...], str] = {}
        means = {name: (one.type, one.by, one.system, one.within) for name, one in self.mapping.records.items()}
        return {name: first.setdefault(meant, name) for name, meant in means.items()}

    @property
    def steps(self) -> Iterator[PlannedStep]:
        return (step for steps in self.passes for step in steps)

    def view(self, cells: dict[str, str]) -> RowView:
        return RowView(cells, self.zone, self.mapping.records)


def make_plan(mapping: Mapping, schema: GraphQLSchema, columns: tuple[str, ...], zone: ZoneInfo, source: str) -> Plan:
    """Raises: MappingError naming every key that does not fit the schema or the file."""
    problems = Problems(source)
    mutations = schema.mutation_type.fields if schema.mutation_type else {}
    passes = [[_bind(step, mutations, mapping, problems) for step in steps] for steps in mapping.passes]
    _check_records(mapping, schema, problems)
    plan = Plan(
        mapping=mapping,
        zone=mapping.zone or zone,
        passes=tuple(tuple(step for step in steps if step is not None) for steps in passes),
    )
    _check_columns(plan, columns, problems)
    problems.raise_any()
    return plan


def _bind(
    step: Step, mutations: MappingOf[str, GraphQLField], mapping: Mapping, problems: Problems
) -> PlannedStep | None:
    mutation = mutations.get(step.mutation)
    type_ = get_named_type(mutation.args["input"].type) if mutation else None
    if mutation is None or not isinstance(type_, GraphQLInputObjectType):
        hint = did_you_mean(step.mutation, mutations)
        problems.note(f"{step.path}.mutation", f'the schema has no mutation "{step.mutation}"{hint}')
        return None
    return PlannedStep(
        step=step,
        inputs=bind_input(step.inputs, type_, mapping, f"{step.path}.input", problems),
        batched=_batched(type_, mutations),
        ingests=type_.fields.keys() >= INGESTED,
    )


def _batched(single: GraphQLInputObjectType, mutations: MappingOf[str, GraphQLField]) -> Batched | None:
    """Found by shape: an input with `allOrNone` and a list of the single mutation's input."""
    for name, mutation in mutations.items():
        type_ = get_named_type(mutation.args["input"].type) if "input" in mutation.args else None
        if not isinstance(type_, GraphQLInputObjectType) or "allOrNone" not in type_.fields:
            continue
        for field_name, field in type_.fields.items():
            if isinstance(get_nullable_type(field.type), GraphQLList) and get_named_type(field.type) is single:
                return Batched(mutation=name, field=field_name)
    return None


def _check_records(mapping: Mapping, schema: GraphQLSchema, problems: Problems) -> None:
    for record in mapping.records.values():
        if record.type and not isinstance(schema.get_type(record.type), GraphQLObjectType):
            hint = did_you_mean(record.type, schema.type_map)
            problems.note(f"record.{record.name}.type", f'the schema has no type "{record.type}"{hint}')


def _check_columns(plan: Plan, columns: tuple[str, ...], problems: Problems) -> None:
    for path, name in sorted(set(_used_columns(plan))):
        if name not in columns:
            problems.note(path, f'the file has no column "{name}"{did_you_mean(name, columns)}')


def _used_columns(plan: Plan) -> Iterator[tuple[str, str]]:
    mapping = plan.mapping
    yield from (("key", name) for name in mapping.key)
    yield from (("follows", name) for name in mapping.follows)
    for record in mapping.records.values():
        yield from ((f"record.{record.name}.value", name) for name in record.value.columns)
    for planned in plan.steps:
        yield from ((f"{planned.step.path}.input", name) for name in planned.inputs.columns())
        yield from ((f"{planned.step.path}.when", name) for c in planned.step.when for name in c.columns)


def row_test(condition: Condition, cells: dict[str, str], before: dict[str, str]) -> bool:
    """A condition over a row and the one it follows; nothing was said before the first."""
    if condition.test == "changed":
        return (
            any(_differs(condition, cells[name], before.get(name)) for name in condition.values) == condition.expected
        )
    if condition.previous is not None:
        return holds(condition, before.get(condition.previous, ""))
    return holds(condition, cells[condition.column or ""])


def _differs(condition: Condition, now: str, before: str | None) -> bool:
    if now == before or before is None or not condition.words:
        return now != before
    return condition.words.get(now, now) != condition.words.get(before, before)


def holds(condition: Condition, text: str) -> bool:
    match condition.test:
        case "is":
            return text in condition.values
        case "is_not":
            return text not in condition.values
        case _:
            return (text == "") == condition.expected
