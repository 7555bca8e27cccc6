"""What is known while a page is applied: how its deals stand, the stages they stand in, whom their contacts mean.

Read once a page, kept up to date event by event: so that each event's rows are made without asking the database again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.sales.deal_events import DealContactsChanged, DealOpened
from crm_es.values import Money

Place = tuple[UUID, UUID]
"""(workspace, id)"""
ONE: Final = Decimal(1)
NONE: Final = Decimal(0)


@dataclass(slots=True)
class StageRule:
    """What a stage says about the deals in it."""

    probability: Decimal
    rot_days: int | None


@dataclass(slots=True, kw_only=True)
class Standing:
    """A deal as it stands. `stage_number` and `interval_number` name its intervals that have not ended."""

    pipeline_id: UUID
    stage_id: UUID
    status: str
    owner_id: UUID | None
    amount_minor: int | None
    amount_currency: str | None
    probability_set: Decimal | None
    category_set: str | None
    contact_ids: list[UUID]
    touched_at: datetime
    stage_number: int
    interval_number: int

    def derived(self, rule: StageRule) -> dict[str, Any]:
        """The columns that follow from how the deal stands and what its stage says."""
        chance = {"WON": ONE, "LOST": NONE}.get(self.status)
        if chance is None:
            chance = rule.probability if self.probability_set is None else self.probability_set
        rots = None if rule.rot_days is None or self.status != "OPEN" else timedelta(days=rule.rot_days)
        return {
            "probability": chance,
            "weighted_minor": weighted(self.amount_minor, chance),
            "forecast_category": _CLOSED.get(self.status) or self.category_set or "PIPELINE",
            "rots_at": None if rots is None else self.touched_at + rots,
        }


_CLOSED: Final = {"WON": "CLOSED", "LOST": "OMITTED"}


def weighted(minor: int | None, chance: Decimal) -> int | None:
    """Half a unit up, as PostgreSQL's round: `stages.py` does the same in SQL."""
    return None if minor is None else int((minor * chance).quantize(ONE, rounding=ROUND_HALF_UP))


def amount(money: Money | None) -> dict[str, Any]:
    """The columns of an amount."""
    return {
        "amount_minor": money and money.minor,
        "amount_currency": money and money.currency,
        "amount_value": money and money.amount,
    }


@dataclass(slots=True)
class Page:
    deals: dict[Place, Standing] = field(default_factory=dict)
    rules: dict[Place, StageRule] = field(default_factory=dict)
    meanings: dict[Place, UUID] = field(default_factory=dict)

    @classmethod
    def read(cls, batch: Batch, facts: Sequence[Fact]) -> "Page":
        """What the page's events need of what stood before it."""
        page = cls()
        page._read_deals(batch, facts)
        page._read_stages(batch, facts)
        page._read_meanings(batch, facts)
        return page

    def rule(self, fact: Fact, stage_id: UUID) -> StageRule:
        return self.rules[fact.workspace, stage_id]

    def means(self, workspace: UUID, contact: UUID) -> UUID:
        return self.meanings.get((workspace, contact), contact)

    def _read_deals(self, batch: Batch, facts: Sequence[Fact]) -> None:
        found = [fact for fact in facts if fact.topic.startswith("deal.")]
        opened: set[Place] = {(fact.workspace, fact.stream) for fact in found if fact.version == 1}
        named: set[Place] = {(fact.workspace, fact.stream) for fact in found}
        for workspace, id_, *row in _rows(batch, _DEALS, named - opened):
            self.deals[workspace, id_] = Standing(**dict(zip(_STANDING, row, strict=True)))

    def _read_stages(self, batch: Batch, facts: Sequence[Fact]) -> None:
        """All of those workspaces: there are few, and any may be entered."""
        workspaces = {fact.workspace for fact in facts if fact.topic.startswith("deal.")}
        if workspaces:
            for workspace, id_, chance, rot_days in batch.select(_STAGES, workspaces=list(workspaces)):
                self.rules[workspace, id_] = StageRule(chance, rot_days)

    def _read_meanings(self, batch: Batch, facts: Sequence[Fact]) -> None:
        wanted: set[Place] = set()
        for fact in facts:
            match fact.event:
                case DealOpened(contacts=tuple(contacts)) | DealContactsChanged(contacts=contacts):
                    wanted |= {(fact.workspace, one.contact_id) for one in contacts}
                case _:
                    pass
        for workspace, contact, means in _rows(batch, _MEANINGS, wanted):
            self.meanings[workspace, contact] = means


def _rows(batch: Batch, statement: Any, wanted: set[Place]) -> list[tuple[Any, ...]]:
    if not wanted:
        return []
    return batch.select(statement, workspaces=list({w for w, _ in wanted}), ids=list({id_ for _, id_ in wanted}))


_STANDING: Final = (
    "pipeline_id", "stage_id", "status", "owner_id", "amount_minor", "amount_currency", "probability_set", "category_set",
    "contact_ids", "touched_at", "stage_number", "interval_number",
)  # fmt: skip
_DEALS: Final = """
SELECT workspace_id, id, pipeline_id, stage_id, status, owner_id, amount_minor, amount_currency, probability_set, category_set,
       contact_ids, touched_at, stage_number, interval_number
FROM {schema}.deal
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(ids)s)
"""
_STAGES: Final = """
SELECT workspace_id, id, probability, rot_days
FROM {schema}.stage
WHERE workspace_id = ANY (%(workspaces)s)
"""
_MEANINGS: Final = """
SELECT workspace_id, id, means_id
FROM {schema}.contact_meaning
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(ids)s)
"""
