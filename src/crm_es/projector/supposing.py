"""What would be, had things been otherwise: other promises of an SLA policy, other chances of a stage. Facts are changed on their
way to the read models of a replay, and two replays are compared. Nothing of it is recorded.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import UNSET, Fact
from crm_es.sales.pipeline import PipelineChanged, PipelineCreated
from crm_es.sales.stages import Stage
from crm_es.service.enums import HoldReason, Priority, SlaKind
from crm_es.service.sla import SlaTarget
from crm_es.service.sla_policy import SlaPolicyPublished
from crm_es.service.ticket_events import TicketSlaBreached

MODELS: Final = ("pipelines", "service_queues")
"""The read models that these suppositions change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Promises in place of those that every version of a policy made."""

    targets: tuple[SlaTarget, ...]
    paused_by: tuple[HoldReason, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Supposition:
    """`stages` are chances by the name of a stage, `policies` promises by the name of an SLA policy."""

    stages: Mapping[str, Decimal] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    met: dict[str, set[str]] = field(default_factory=lambda: {"stages": set(), "policies": set()})
    """The names there were in the log that was changed."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a TOML or JSON file. Raises: InvalidInputError."""
        try:
            text = path.read_text(encoding="utf-8")
            said = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            stages = {name: Decimal(str(chance)) for name, chance in said.pop("stages", {}).items()}
            policies = {name: _policy(one) for name, one in said.pop("policies", {}).items()}
        except (ValueError, TypeError, AttributeError, KeyError, InvalidOperation) as exc:
            raise InvalidInputError(f"{path.name} is no supposition: {exc}", rule="suppose.malformed") from exc
        if said or not (stages or policies) or not all(0 <= chance <= 1 for chance in stages.values()):
            message = f"{path.name}: expected [stages] with a chance from 0 to 1 each, or [policies.NAME] with targets."
            raise InvalidInputError(message, rule="suppose.malformed")
        return cls(stages=stages, policies=policies)

    def change(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """The log as it would have been. Breaches that were recorded are of the promises there were: they are left out."""
        return [
            self._changed(fact) for fact in facts if not (self.policies and isinstance(fact.event, TicketSlaBreached))
        ]

    def unmet(self) -> Iterator[str]:
        """Names that are of nothing in the log that was changed: there, what would be is what was."""
        for kind, said, called in (("stages", self.stages, "stage"), ("policies", self.policies, "SLA policy")):
            unknown = sorted(said.keys() - self.met[kind])
            if unknown:
                there = ", ".join(sorted(self.met[kind])) or "none"
                yield f"No {called} was called {', '.join(unknown)} by then. There were: {there}."

    def _changed(self, fact: Fact) -> Fact:
        if isinstance(fact.event, SlaPolicyPublished):
            self.met["policies"].add(fact.event.name)
        match fact.event:
            case PipelineCreated(stages=stages):
                return msgspec.structs.replace(fact, event=replace(fact.event, stages=self._stages(stages)))
            case PipelineChanged(stages=stages) if stages is not UNSET:
                return msgspec.structs.replace(fact, event=replace(fact.event, stages=self._stages(stages)))
            case SlaPolicyPublished(name=name) if name in self.policies:
                policy = self.policies[name]
                paused = fact.event.paused_by if policy.paused_by is None else policy.paused_by
                event = replace(fact.event, targets=policy.targets, paused_by=paused)
                return msgspec.structs.replace(fact, event=event)
            case _:
                return fact

    def _stages(self, stages: Any) -> tuple[Stage, ...]:
        self.met["stages"].update(one.name for one in stages)
        return tuple(replace(one, probability=self.stages.get(one.name, one.probability)) for one in stages)


def _policy(said: Mapping[str, Any]) -> Policy:
    """Raises: KeyError, ValueError, TypeError."""
    targets = tuple(
        SlaTarget(kind=SlaKind(one["kind"]), priority=Priority(one["priority"]), seconds=int(one["seconds"]))
        for one in said["targets"]
    )
    paused = said.get("paused_by")
    return Policy(targets=targets, paused_by=None if paused is None else tuple(map(HoldReason, paused)))


# What is compared


class Figure(NamedTuple):
    what: str
    of: str
    value: int


_DEPTH: Final = """
SELECT 'open tickets', q.name, count(*)
FROM {ticket} t
JOIN {queue} q ON q.workspace_id = t.workspace_id AND q.id = t.queue_id
WHERE t.workspace_id = %(workspace)s AND t.status IN ('NEW', 'OPEN', 'PENDING', 'ON_HOLD')
GROUP BY q.name
"""
# A clock that is neither met nor recorded as breached ran out where it was due before the moment.
_BREACHES: Final = """
SELECT 'breaches', c.kind, count(*) FILTER (WHERE c.breached_at IS NOT NULL OR (c.met_at IS NULL AND c.due_at < %(at)s))
FROM {ticket_clock} c
WHERE c.workspace_id = %(workspace)s AND c.target IS NOT NULL
GROUP BY c.kind
"""
_FORECAST: Final = """
SELECT 'weighted, in minor units', p.name || ' ' || d.amount_currency, sum(d.weighted_minor)::bigint
FROM {deal} d
JOIN {pipeline} p ON p.workspace_id = d.workspace_id AND p.id = d.pipeline_id
WHERE d.workspace_id = %(workspace)s AND d.status = 'OPEN' AND d.record_status = 'ACTIVE' AND d.amount_currency IS NOT NULL
GROUP BY p.name, d.amount_currency
"""


def figures(connection: Connection[Any], name: str, workspace: UUID, at: datetime | None) -> list[Figure]:
    """Of the replay `name`, as of the moment it was made for."""
    found: list[Figure] = []
    for statement in (_DEPTH, _BREACHES, _FORECAST):
        rows = connection.execute(_in(statement, name), {"workspace": workspace, "at": at}).fetchall()
        found += [Figure(*row) for row in rows]
    return sorted(found)


def _in(statement: Any, name: str) -> Composed:
    queues, deals = f"{name}__service_queues", f"{name}__pipelines"
    return SQL(statement).format(
        ticket=Identifier(queues, "ticket"), queue=Identifier(queues, "queue"), ticket_clock=Identifier(queues, "ticket_clock"),
        deal=Identifier(deals, "deal"), pipeline=Identifier(deals, "pipeline"),
    )  # fmt: skip


def compared(was: Sequence[Figure], now: Sequence[Figure]) -> list[tuple[str, str, int, int]]:
    """(what, of, as it was, as it would be) of each that either has."""
    before = {(one.what, one.of): one.value for one in was}
    after = {(one.what, one.of): one.value for one in now}
    return [(*key, before.get(key, 0), after.get(key, 0)) for key in sorted(before.keys() | after.keys())]
