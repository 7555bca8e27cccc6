"""A random history of a sales room through the real store, among contacts that are merged; and how each deal must be answered."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from crm_es.api import ids
from crm_es.eventstore.event import Fact
from crm_es.sales.deal import DEAL, DealEvent, described
from crm_es.sales.deal import evolve as evolve_deal
from crm_es.sales.pipeline import PIPELINE, PipelineEvent
from crm_es.sales.product import PRODUCT
from crm_es.values import Money, money_answer
from tests.oracle.history import History
from tests.oracle.oracle import Oracle
from tests.projections.past import folded
from tests.projections.sales_histories import Sales
from tests.projections.sales_past import deal_by_fold

FIELDS = """id liveId version recordStatus name pipeline { id } stage { id } status rank amount { amount currency } probability
  weightedAmount { amount currency } forecastCategory expectedCloseDate openedAt closedAt lostReason owner { id } company { id }
  contact { id } contacts { contact { id } part primary } stageEnteredAt rotsAt externalIds { system value }
  lines { product { id } description quantity total { amount currency } } stageIntervals { stage { id } from to }"""
TIMES = ("openedAt", "closedAt", "stageEnteredAt", "rotsAt")
PEOPLE = (*[History.register] * 3, History.edit, *[History.merge] * 3, *[History.unmerge] * 2, History.found)


class SalesHistory(History, Sales):
    """What `Sales` does by chance is recorded as it is told; owners, companies and contacts are those there are."""

    def __init__(self, api: Any, who: str, random: Random, deeds: Sequence[Any] = ()) -> None:
        super().__init__(api, who, random, deeds or (*PEOPLE, *Sales.SALES, *Sales.SALES))
        self.streams |= {"Product": [], "Pipeline": [], "Deal": []}
        self.products, self.pipelines, self.deals = [], {}, {}
        self._told: list[list[tuple[UUID, Any]]] = []

    @property
    def contacts(self) -> dict[UUID, Any]:  # type: ignore[override]  # only who there is
        return dict.fromkeys(self.streams["Contact"])

    def append(self, *events: tuple[UUID, Any]) -> None:
        told = [(stream, self._real(event)) for stream, event in events]
        for stream, event in told:
            self.folded(stream, event)
        self._told.append(told)

    def _real(self, event: Any) -> Any:
        there = {"owner_id": [self.member], "company_id": self.streams["Company"]}
        said = {
            name: found[0] for name, found in there.items() if found and isinstance(getattr(event, name, None), UUID)
        }
        return replace(event, **said) if said else event

    async def step(self, deed: Callable[[Any], Any]) -> None:
        if deed not in Sales.SALES:
            await super().step(deed)
            return
        if not self.streams["Company"]:
            await self.found()
        deed(self)
        self.done[deed.__name__] += bool(self._told)
        while self._told:
            await self._record(self._told.pop(0))

    async def _record(self, told: list[tuple[UUID, Any]]) -> None:
        stream, first = told[0]
        aggregate = DEAL if isinstance(first, DealEvent) else PIPELINE if isinstance(first, PipelineEvent) else PRODUCT
        events = [event for _, event in told]
        if stream in self.streams[aggregate.name.title()]:
            await self.change(aggregate, stream, lambda _state: events)
        else:
            await self.begin(aggregate, events, stream)


class Log:
    """Facts as the folds of `tests/projections` read them."""

    def __init__(self, facts: list[Fact]) -> None:
        self.facts = facts


def answer(oracle: Oracle, deal: UUID, at: int) -> dict[str, Any] | None:
    """Of a position where an append ends."""
    log, workspace = Log(oracle.log), oracle.history.workspace
    told = deal_by_fold(log, workspace, deal, at)
    if told is None:
        return None
    state, _ = folded(log, workspace, deal, at, evolve_deal)

    def ref(kind: str, id_: UUID | None) -> dict[str, str] | None:
        return {"id": ids.encode(kind, id_, at)} if id_ else None

    return normal({
        "id": ids.encode("Deal", deal, at), "liveId": ids.encode("Deal", deal), "version": told["version"],
        "recordStatus": told["record_status"], "name": told["name"], "pipeline": ref("Pipeline", told["pipeline_id"]),
        "stage": ref("Stage", told["stage_id"]), "status": told["status"], "rank": told["rank"],
        "amount": money_answer(state.amount), "probability": float(told["probability"]),
        "weightedAmount": money_answer(state.amount and Money(told["weighted_minor"], state.amount.currency)),
        "forecastCategory": told["forecast_category"],
        "expectedCloseDate": told["expected_close_date"] and str(told["expected_close_date"]),
        "openedAt": told["opened_at"], "closedAt": told["closed_at"], "lostReason": told["lost_reason"],
        "owner": ref("Member", told["owner_id"]), "company": ref("Company", told["company_id"]),
        "contact": ref("Contact", told["contact_id"]), "stageEnteredAt": told["stage_entered_at"], "rotsAt": told["rots_at"],
        "contacts": [
            {"contact": ref("Contact", id_), "part": part, "primary": primary} for id_, part, primary in told["contacts"]
        ],
        "externalIds": [{"system": one.system, "value": one.value} for one in state.external_ids],
        "lines": [
            {"product": ref("Product", line.product_id), "description": text, "quantity": str(line.quantity)}
            | {"total": None if total is None else money_answer(Money(total, currency))}
            for (line, text), (*_, currency, total) in zip(described(state), sorted(told["lines"]), strict=True)
        ],
        "stageIntervals": [
            {"stage": ref("Stage", stage), "from": begins, "to": ends} for _, stage, begins, ends in sorted(told["stages"])
        ],
    })  # fmt: skip


def normal(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same answer in one form: contacts sorted, times as times."""
    if told is None:
        return None
    made = told | {"contacts": sorted(told["contacts"], key=str)}
    made |= {name: time(made[name]) for name in TIMES}
    made["stageIntervals"] = [
        each | {end: time(each[end]) for end in ("from", "to")} for each in told["stageIntervals"]
    ]
    return made


def time(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
