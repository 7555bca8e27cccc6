"""Eighteen months of deals: opened, moved through the stages, won or lost, and some taken up again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

from crm_es.demo.life import Life, Told
from crm_es.demo.story import DAYS, HOURS, SEED, NewContact, Story, new_id, share
from crm_es.occasions import Occasion
from crm_es.sales import dealing, pipeline, product, ranks
from crm_es.sales.deal import DEAL, Deal
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.pipeline import PIPELINE
from crm_es.sales.product import PRODUCT, ProductEdit
from crm_es.sales.stages import ForecastCategory, Stage, StageType
from crm_es.values import Money

Deed = tuple[datetime, Told]
DEALS: Final = 320
STEPS: Final = 1_000
PRODUCTS: Final = (
    ("Workbench", "WB-1", 129_000), ("Workbench Pro", "WB-2", 349_000), ("Sensor kit", "SK-1", 18_900),
    ("Annual licence", "LIC-12", 240_000), ("Installation", "SRV-1", 95_000), ("Workshop for ten", "SRV-2", 180_000),
)  # fmt: skip
STAGES: Final = (
    ("Qualified", StageType.OPEN, "0.1", 21), ("Needs known", StageType.OPEN, "0.25", 30),
    ("Offer sent", StageType.OPEN, "0.5", 30), ("Negotiation", StageType.OPEN, "0.75", 14),
    ("Won", StageType.WON, "1", None), ("Lost", StageType.LOST, "0", None),
)  # fmt: skip
OPEN: Final = 4
FEW: Final = 5
CURRENCIES: Final = ("EUR",) * 8 + ("USD", "JPY")
PARTS: Final = ("decides", "pays", "uses it", None)
REASONS: Final = ("price", "no budget", "chose another supplier", "went silent", "太贵", "postponed")
FORECAST: Final = {2: ForecastCategory.BEST_CASE, 3: ForecastCategory.COMMIT}


@dataclass(slots=True)
class Selling:
    """`first` is by stage the place of the deal on top of it. A generator of its own, so that who is there stays as it is."""

    story: Story
    rng: Random = field(default_factory=lambda: Random(SEED + 2))  # noqa: S311  # invented deals need no secrets
    stages: tuple[Stage, ...] = ()
    board: Life = field(init=False)
    products: list[tuple[UUID, int]] = field(default_factory=list)
    open: list[Life] = field(default_factory=list)
    closed: list[Life] = field(default_factory=list)
    first: dict[UUID, str] = field(default_factory=dict)
    sellers: Sequence[UUID] = ()

    def begin(self, at: datetime) -> Iterator[Deed]:
        """What is sold, and through which stages."""
        self.sellers = [one.id for one in self.story.members if one.role in ("sales", "manager")]
        for name, sku, cents in PRODUCTS:
            life = Life(aggregate=PRODUCT, id=new_id(self.rng, at))
            life.happen(product.register(ProductEdit(name=name, sku=sku, price=Money(cents, "EUR"))), at)
            self.products.append((life.id, cents))
            yield at, life.told()
        self.stages = tuple(
            Stage(id=new_id(self.rng, at), name=name, type=type_, probability=Decimal(chance), rot_days=days)
            for name, type_, chance, days in STAGES
        )
        self.board = Life(aggregate=PIPELINE, id=new_id(self.rng, at))
        self.board.happen(pipeline.create(name="New business", stages=self.stages), at)
        yield at, self.board.told()

    def day(self, day: int, begins: datetime, people: Sequence[NewContact]) -> Iterator[Deed]:
        """A deal that was opened today has a quiet first day."""
        standing = list(self.open)
        if people:
            for _ in range(share(DEALS, day)):
                yield self._opened(begins + self.rng.random() * HOURS, self.rng.choice(people))
        for _ in range(min(share(STEPS, day), len(standing))):
            life = standing.pop(self.rng.randrange(len(standing)))
            step = self._step(life, begins + self.rng.random() * HOURS)
            if step[1].events:
                yield step
        if len(self.closed) > FEW and day % (DAYS // 6) == DAYS // 7:
            yield self._again(self.closed.pop(0), begins + self.rng.random() * HOURS)

    def _opened(self, at: datetime, who: NewContact) -> Deed:
        life, (product_id, cents) = Life(aggregate=DEAL, id=new_id(self.rng, at)), self.rng.choice(self.products)
        quantity, currency = self.rng.randrange(1, 25), self.rng.choice(CURRENCIES)
        form = dealing.DealEdit(
            name=f"{who.display}: {quantity} x {next(n for n, _, c in PRODUCTS if c == cents)}",
            amount=Money(quantity * cents, currency),
            company_id=who.company_id,
            owner_id=self.rng.choice(self.sellers),
            contacts=[DealContact(contact_id=who.id, part=self.rng.choice(PARTS), primary=True)],
            lines=[
                (DealLine(product_id=product_id, quantity=Decimal(quantity), unit_price=Money(cents, currency)), None)
            ],
            expected_close_date=(at + timedelta(days=self.rng.randrange(30, 150))).date(),
        )
        rank, stage = self._on_top(life.id, 0, at), self.stages[0].id
        opened = dealing.open_deal(form, pipeline_id=self.board.id, stage_id=stage, rank=rank, on=Occasion(at))
        life.happen(opened, at)
        self.open.append(life)
        return at, life.told()

    def _step(self, life: Life, at: datetime) -> Deed:
        """On, won or lost, in other hands, or worth something else."""
        deal: Deal = life.state
        chance, place = self.rng.random(), self._place(deal)
        if place == OPEN - 1 and chance < 0.55:  # noqa: PLR2004  # so many are won
            return self._closed(life, at, dealing.win(deal, **self._to(life, OPEN, at)))
        if chance > 0.8:  # noqa: PLR2004  # so many are lost
            reason = self.rng.choice(REASONS)
            return self._closed(life, at, dealing.lose(deal, reason=reason, **self._to(life, OPEN + 1, at)))
        if place < OPEN - 1 and chance < 0.7:  # noqa: PLR2004
            life.happen(dealing.move(deal, **self._to(life, place + 1, at)), at)
            if place + 1 in FORECAST:
                form = dealing.DealEdit(forecast_category=FORECAST[place + 1])
                life.happen(dealing.update(life.state, form, on=Occasion(at)), at)
        elif chance < 0.75:  # noqa: PLR2004
            life.happen(dealing.change_owner(deal, self.rng.choice(self.sellers), on=Occasion(at)), at)
        else:
            amount = (
                Money(deal.amount.minor * self.rng.choice((80, 90, 110, 125)) // 100, deal.amount.currency)
                if deal.amount
                else None
            )
            life.happen(dealing.update(deal, dealing.DealEdit(amount=amount), on=Occasion(at)), at)
        return at, life.told()

    def _closed(self, life: Life, at: datetime, events: Sequence[Any]) -> Deed:
        life.happen(events, at)
        self.open.remove(life)
        self.closed.append(life)
        return at, life.told()

    def _again(self, life: Life, at: datetime) -> Deed:
        life.happen(dealing.reopen(life.state, **self._to(life, OPEN - 1, at)), at)
        self.open.append(life)
        return at, life.told()

    def _place(self, deal: Deal) -> int:
        return next(place for place, stage in enumerate(self.stages) if stage.id == deal.stage_id)

    def _to(self, life: Life, place: int, at: datetime) -> dict[str, Any]:
        return {"stage_id": self.stages[place].id, "rank": self._on_top(life.id, place, at), "on": Occasion(at)}

    def _on_top(self, id_: UUID, place: int, at: datetime) -> str:
        stage = self.stages[place].id
        self.first[stage] = ranks.on_top(at, id_, self.first.get(stage))
        return self.first[stage]
