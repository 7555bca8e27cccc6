"""Random but lawful things that happen to products, pipelines and deals: the decisions themselves make the events."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from crm_es.errors import CrmError
from crm_es.occasions import Occasion
from crm_es.sales import deal, dealing, pipeline, product
from crm_es.sales.deal import Deal
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.dealing import DealEdit
from crm_es.sales.pipeline import Pipeline, Retirement
from crm_es.sales.stages import ForecastCategory, Stage, StageType
from crm_es.values import ExternalId, Money
from tests.projector.log import START

PRICES = (Money(100, "USD"), Money(5, "JPY"), Money(1250, "KWD"))


class Sales:
    """What a world does in its sales room; `append` takes (stream, event) pairs of one append, and tells `folded`."""

    random: Random
    contacts: dict[UUID, Any]
    products: list[UUID]
    pipelines: dict[UUID, Pipeline]
    deals: dict[UUID, Deal]
    append: Callable[..., None]

    def tell(self, stream: UUID, events: Sequence[Any]) -> None:
        if events:
            self.append(*((stream, event) for event in events))

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def occasion(self, known: Deal | None = None) -> Occasion:
        """Mostly after the deal's last move, sometimes in one moment with it, sometimes undated."""
        since = known.moved_at if known else START - timedelta(days=500)
        step = timedelta(hours=self.random.choice([0, 1, 30, 300]))
        return Occasion(since + step, said=self.random.random() < 0.8)

    def money(self) -> Money | None:
        return self.random.choice([None, *PRICES, Money(self.random.randrange(10**6), "USD")])

    # Products and pipelines

    def list_product(self) -> None:
        id_ = self.new_id()
        form = product.ProductEdit(name=self.random.choice(["Mug", "Ähre"]), price=self.money())
        known = [ExternalId(system="erp", value=str(len(self.products)))]
        self.tell(id_, product.register(form, known))
        self.products.append(id_)

    def retire_product(self) -> None:
        if self.products:
            form = product.ProductEdit(retired=self.random.random() < 0.5, sku=self.random.choice([None, "S"]))
            self.tell(self.random.choice(self.products), product.update(product.Product(sku="?"), form))

    def stage(self, type_: StageType) -> Stage:
        chance = Decimal(self.random.randrange(101)) / 100
        return Stage(
            id=self.new_id(), name=f"S{self.random.randrange(99)}", type=type_, probability=chance,
            rot_days=self.random.choice([None, 7, 30]),
        )  # fmt: skip

    def build_pipeline(self) -> None:
        if len(self.pipelines) < 2:
            types = (StageType.OPEN, StageType.OPEN, StageType.OPEN, StageType.WON, StageType.LOST, StageType.LOST)
            self.tell(self.new_id(), pipeline.create(name="Sales", stages=[self.stage(each) for each in types]))

    def reshape_pipeline(self) -> None:
        if not self.pipelines:
            return
        id_, known = self.random.choice(list(self.pipelines.items()))
        stages = list(known.stages)
        gone = self.random.choice(stages)
        rest = [each for each in stages if each.type is gone.type and each is not gone]
        retire = [Retirement(stage_id=gone.id, move_deals_to=rest[0].id)] if rest and self.random.random() < 0.3 else []
        staying = [each for each in stages if not retire or each is not gone]
        self.random.shuffle(staying)
        changed = self.random.choice(staying)
        staying[staying.index(changed)] = Stage(
            id=changed.id, name=changed.name, type=changed.type, probability=Decimal(self.random.randrange(11)) / 10,
            rot_days=self.random.choice([None, 5]),
        )  # fmt: skip
        if self.random.random() < 0.3:
            staying.append(self.stage(StageType.OPEN))
        self.attempt(
            id_,
            lambda: pipeline.change(
                known, name="Sales", stages=staying, new=[one.id for one in staying], retire=retire
            ),
        )
        for one in retire:
            self.move_out(one)

    def move_out(self, one: Retirement) -> None:
        for id_, state in list(self.deals.items()):
            on = Occasion(state.moved_at, said=False)
            self.tell(id_, dealing.leave_retired(state, stage_id=one.stage_id, to_stage_id=one.move_deals_to, on=on))

    def shelve_pipeline(self) -> None:
        if self.pipelines and self.random.random() < 0.3:
            id_, known = self.random.choice(list(self.pipelines.items()))
            self.attempt(id_, lambda: pipeline.restore(known) if known.archived else pipeline.archive(known))

    # Deals

    def attempt(self, stream: UUID, decide: Any) -> None:
        """A refusal is lawful too."""
        with suppress(CrmError):
            self.tell(stream, decide())

    def people(self) -> list[DealContact]:
        known = list(self.contacts)
        picked = self.random.sample(known, min(len(known), self.random.randrange(4)))
        return [DealContact(contact_id=one, part=self.random.choice([None, "buyer"])) for one in picked]

    def lines(self) -> list[tuple[DealLine, str | None]]:
        def one() -> tuple[DealLine, str | None]:
            price = self.random.choice([None, *PRICES])
            line = DealLine(
                product_id=self.random.choice([None, *self.products]), quantity=Decimal(self.random.randrange(1, 9)),
                unit_price=price, discount=Money(5, price.currency) if price else None,
            )  # fmt: skip
            return line, self.random.choice([None, "Grüße"])

        return [one() for _ in range(self.random.randrange(4))]

    def rank(self) -> str:
        return f"{self.random.randrange(1000):09d}"

    def open_deal(self) -> None:
        usable = [id_ for id_, state in self.pipelines.items() if not state.archived]
        if not usable:
            return
        where = self.random.choice(usable)
        stage = self.random.choice([one for one in self.pipelines[where].stages if one.type is StageType.OPEN])
        form = DealEdit(
            name=self.random.choice(["Ánna's", "100 seats"]), amount=self.money(), contacts=self.people(),
            lines=self.lines(), owner_id=self.random.choice([None, UUID(int=5)]),
            company_id=self.random.choice([None, UUID(int=9)]), expected_close_date=date(2026, 3, 1),
        )  # fmt: skip
        made = dealing.open_deal(
            form, pipeline_id=where, stage_id=stage.id, rank=self.rank(), on=self.occasion(),
            external_ids=[ExternalId(system="erp", value=str(len(self.deals)))],
        )  # fmt: skip
        self.tell(self.new_id(), made)

    def a_deal(self) -> tuple[UUID, Deal] | None:
        return self.random.choice(list(self.deals.items())) if self.deals else None

    def edit_deal(self) -> None:
        if found := self.a_deal():
            id_, state = found
            asked = {
                "name": "Other", "amount": self.money(), "probability": self.random.choice([None, Decimal("0.25")]),
                "forecast_category": self.random.choice([None, ForecastCategory.COMMIT, ForecastCategory.OMITTED]),
                "expected_close_date": None, "company_id": self.random.choice([None, UUID(int=10)]),
                "owner_id": self.random.choice([None, UUID(int=6)]), "contacts": self.people(), "lines": self.lines(),
            }  # fmt: skip
            form = DealEdit(**{name: value for name, value in asked.items() if self.random.random() < 0.3})
            self.attempt(id_, lambda: dealing.update(state, form, on=self.occasion(state)))

    def move_deal(self) -> None:
        if found := self.a_deal():
            id_, state = found
            stages = self.pipelines[state.pipeline_id].stages
            target = self.random.choice([one.id for one in stages if one.type is StageType.OPEN])
            rank, on = self.rank(), self.occasion(state)
            self.attempt(id_, lambda: dealing.move(state, stage_id=target, rank=rank, on=on))

    def close_deal(self) -> None:
        if found := self.a_deal():
            id_, state = found
            stages, rank, on = self.pipelines[state.pipeline_id].stages, self.rank(), self.occasion(state)
            won, *_ = (one.id for one in stages if one.type is StageType.WON)
            lost = self.random.choice([one.id for one in stages if one.type is StageType.LOST])
            if self.random.random() < 0.5:
                self.attempt(id_, lambda: dealing.win(state, stage_id=won, rank=rank, on=on, amount=Money(77, "USD")))
            else:
                self.attempt(id_, lambda: dealing.lose(state, reason="dear", stage_id=lost, rank=rank, on=on))

    def reopen_deal(self) -> None:
        if found := self.a_deal():
            id_, state = found
            first = next(one.id for one in self.pipelines[state.pipeline_id].stages if one.type is StageType.OPEN)
            rank, on = self.rank(), self.occasion(state)
            self.attempt(id_, lambda: dealing.reopen(state, stage_id=first, rank=rank, on=on))

    def shelve_deal(self) -> None:
        if self.random.random() < 0.3 and (found := self.a_deal()):
            id_, state = found
            self.attempt(id_, lambda: dealing.restore(state) if state.archived else dealing.archive(state))

    def folded(self, stream: UUID, event: Any) -> bool:
        """Whether it was one of the room's, and is known now."""
        if isinstance(event, deal.DealEvent):
            self.deals[stream] = deal.evolve(self.deals.get(stream), event)
        elif isinstance(event, pipeline.PipelineEvent):
            self.pipelines[stream] = pipeline.evolve(self.pipelines.get(stream), event)
        return isinstance(event, deal.DealEvent | pipeline.PipelineEvent | product.ProductEvent)

    SALES = (
        list_product, retire_product, build_pipeline, reshape_pipeline, shelve_pipeline, open_deal, open_deal, open_deal,
        edit_deal, edit_deal, move_deal, move_deal, close_deal, close_deal, reopen_deal, shelve_deal,
    )  # fmt: skip
