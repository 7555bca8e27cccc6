"""A past of deals, decided one by one and recorded in bulk, and how each stood at every moment: what charts are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, floor
from random import Random
from typing import Any
from uuid import UUID, uuid4

from crm_es.api import ids
from crm_es.occasions import Occasion
from crm_es.sales import dealing
from crm_es.sales.deal import DEAL, Deal, evolve
from crm_es.sales.dealing import DealEdit
from crm_es.values import Money

CURRENCIES = ("USD", "EUR", "JPY")
START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass
class Sale:
    """A deal as it is to be recorded. `moments` are (since when, the state), oldest first."""

    id: UUID
    state: Deal
    events: list[Any]
    moments: list[tuple[datetime, Deal]] = field(default_factory=list)

    def at(self, end: datetime) -> Deal | None:
        """How it stood after all that happened before."""
        return next((state for since, state in reversed(self.moments) if since < end), None)

    def entered(self, status: str, begins: datetime, ends: datetime) -> list[Deal]:
        """As it came into a status, each time it did within [begins, ends)."""
        before: list[Deal | None] = [None, *(state for _, state in self.moments)]
        return [
            state
            for (since, state), was in zip(self.moments, before, strict=False)
            if state.status == status and (was is None or was.status != status) and begins <= since < ends
        ]


@dataclass(frozen=True)
class Visit:
    """A stage by its name, from then on for so many days; None while it lasts."""

    stage: str
    days: float | None


class Book:
    """The deals of one pipeline (as `selling.a_pipeline` answers it), none of them recorded until `record`."""

    def __init__(self, api: Any, board: Any) -> None:
        self.api, self.board = api, board
        self.stages = {name: uuid(id_) for name, id_ in board["at"].items()}
        self.sales: list[Sale] = []

    def open(self, at: datetime, amount: Money | None = None, *, stage: str = "New", **form: Any) -> Sale:
        said = DealEdit(name="A deal", amount=amount, **form)
        where = {"pipeline_id": uuid(self.board["id"]), "stage_id": self.stages[stage], "rank": "m"}
        made = Sale(uuid4(), Deal(), [])
        self.sales.append(self._add(made, dealing.open_deal(said, **where, on=Occasion(at)), at))
        return made

    def revise(self, sale: Sale, at: datetime, **form: Any) -> Sale:
        return self._add(sale, dealing.update(sale.state, DealEdit(**form), on=Occasion(at)), at)

    def move(self, sale: Sale, at: datetime, stage: str) -> Sale:
        return self._add(sale, dealing.move(sale.state, stage_id=self.stages[stage], rank="m", on=Occasion(at)), at)

    def win(self, sale: Sale, at: datetime, **more: Any) -> Sale:
        to = {"stage_id": self.stages["Won"], "rank": "m", "on": Occasion(at)}
        return self._add(sale, dealing.win(sale.state, **to, **more), at)

    def lose(self, sale: Sale, at: datetime) -> Sale:
        to = {"stage_id": self.stages["Lost"], "rank": "m", "on": Occasion(at)}
        return self._add(sale, dealing.lose(sale.state, reason="No money.", **to), at)

    def reopen(self, sale: Sale, at: datetime, stage: str = "Offer") -> Sale:
        to = {"stage_id": self.stages[stage], "rank": "m", "on": Occasion(at)}
        return self._add(sale, dealing.reopen(sale.state, **to), at)

    def visits(self, sale: Sale) -> list[Visit]:
        """The stages it stood in, oldest first."""
        names = {id_: name for name, id_ in self.stages.items()}
        entered = [moment for was, moment in pairwise([None, *sale.moments]) if moves(was, moment)]
        ends = [*(at for at, _ in entered[1:]), None]
        return [
            Visit(names[state.stage_id], None if end is None else (end - at) / timedelta(days=1))
            for (at, state), end in zip(entered, ends, strict=True)
        ]

    def _add(self, sale: Sale, events: Sequence[Any], at: datetime) -> Sale:
        for event in events:
            sale.state = evolve(sale.state if sale.events else None, event)
            sale.events.append(event)
        sale.moments.append((at, sale.state))
        return sale

    async def record(self, size: int = 100) -> None:
        """What is not recorded yet, so many deals an append."""
        for start in range(0, len(self.sales), size):
            streams = [(DEAL, sale.id, sale.events) for sale in self.sales[start : start + size]]
            outcome = await self.api.engine.store.create_many(self.api.command(), streams)
            self.api.newest = outcome.log_id
        await self.api.projected()

    async def live(self, steps: int, random: Random, owners: Sequence[UUID | None]) -> dict[int, dict[UUID, Deal]]:
        """Deeds one by one, each recorded at once: how all deals stood at each position they led to."""
        pages = dict[int, dict[UUID, Deal]]()
        for _ in range(steps):
            if not self.sales or random.random() < 0.2:
                sale, begun = self.open(START, self.money(random), owner_id=random.choice(owners)), 0
            else:
                sale = random.choice(self.sales)
                begun = len(sale.events)
                self.live_on(sale, random, owners)
            position = await self.tell(sale, sale.events[begun:])
            if position is not None:
                pages[position] = {each.id: each.state for each in self.sales}
        await self.api.projected()
        return pages

    def live_on(self, sale: Sale, random: Random, owners: Sequence[UUID | None]) -> None:
        if sale.state.archived:
            self._add(sale, dealing.restore(sale.state), START)
        elif random.random() < 0.1:
            self._add(sale, dealing.archive(sale.state), START)
        else:
            self.go_on(sale, START, random, owners)

    async def tell(self, sale: Sale, events: Sequence[Any]) -> int | None:
        """The position they are recorded at; None where there are none."""
        store, command = self.api.engine.store, self.api.command()
        if len(events) == len(sale.events):
            outcome = await store.create(command, DEAL, sale.id, events)
        else:
            outcome = await store.decide(command, DEAL, sale.id, lambda _state: events)
        self.api.newest = outcome.log_id or self.api.newest
        return outcome.position  # type: ignore[no-any-return]

    # By chance

    def fill(self, count: int, random: Random, owners: Sequence[UUID | None] = (None,), **form: Any) -> None:
        for _ in range(count):
            at = START + timedelta(hours=random.randrange(24 * 60))
            sale = self.open(at, self.money(random), owner_id=random.choice(owners), **form)
            for _ in range(random.randrange(6)):
                at += timedelta(hours=random.choice([0, 1, 24, 24 * random.randrange(40)]))
                self.go_on(sale, at, random, owners)

    def go_on(self, sale: Sale, at: datetime, random: Random, owners: Sequence[UUID | None]) -> None:
        owner = {"owner_id": random.choice(owners)}
        if sale.state.status != "OPEN":
            random.choice([lambda: self.reopen(sale, at), lambda: self.revise(sale, at, **owner)])()
            return
        stage, amount = random.choice(["New", "Offer"]), self.money(random)
        deeds = [
            lambda: self.move(sale, at, stage), lambda: self.revise(sale, at, amount=amount, **owner),
            lambda: self.win(sale, at, amount=amount or Money(100, "USD")), lambda: self.lose(sale, at),
        ]  # fmt: skip
        random.choice(deeds)()

    def money(self, random: Random) -> Money | None:
        return random.choice([None, *(Money(random.randrange(10**6), each) for each in CURRENCIES)])


def moves(was: Any, moment: Any) -> bool:
    return was is None or was[1].stage_id != moment[1].stage_id


def days_in(stage: str, visits: Sequence[Visit]) -> float:
    """All visits together."""
    return sum(visit.days or 0 for visit in visits if visit.stage == stage)


def part_of(found: Sequence[float], fraction: float) -> float:
    """Below it lies this fraction of them, straight lines between neighbours."""
    ordered, place = sorted(found), fraction * (len(found) - 1)
    low, high = ordered[floor(place)], ordered[ceil(place)]
    return low + (high - low) * (place - floor(place))


def uuid(id_: str) -> UUID:
    return ids.decode(id_).id


def totals(amounts: Sequence[Money | None]) -> list[dict[str, str]]:
    """As the API writes what they add up to."""
    sums: dict[str, int] = {}
    for each in amounts:
        if each is not None:
            sums[each.currency] = sums.get(each.currency, 0) + each.minor
    return [{"amount": str(Money(sums[each], each).amount), "currency": each} for each in sorted(sums)]
