"""How long the pages of a sales team take, generic executor and compiled plans in turn: a board of 2,000 open deals.

sh scripts/bench board [--open 2000] [--closed 6000] [--asks 60]
"""

import argparse
import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from _pages import Bench, Stream, bench

from crm_es.api import ids
from crm_es.contacts import company
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.occasions import Occasion
from crm_es.sales import dealing, pipeline, ranks
from crm_es.sales.deal import DEAL, Deal, evolve
from crm_es.sales.dealing import DealEdit
from crm_es.sales.pipeline import PIPELINE
from crm_es.sales.stages import ForecastCategory, Stage, StageType
from crm_es.values import Money
from crm_es.workspaces import member

NOW = datetime.now(UTC).replace(microsecond=0)
STAGES = {"New": "0.1", "Talking": "0.3", "Offer": "0.5", "Contract": "0.8", "Won": "1", "Lost": "0"}
CARD = """fragment DealCard on Deal { id version name rank amount { amount currency } stage { id } expectedCloseDate
  owner { id name } rotsAt maskedFields }"""
WORTH = "amount { amount currency }"
COLUMN = f"""totalCount summary {{ {WORTH} weightedAmount {{ amount currency }} }} edges {{ cursor node {{ ...DealCard }} }}
  pageInfo {{ endCursor hasNextPage }}"""
BOARD = f"""pipeline(id: $id, asOf: $asOf) {{ id name stages {{ id name type
  deals(first: 20, filter: $filter, orderBy: [{{field: RANK}}]) {{ {COLUMN} }} }} }}"""
PERIOD = "from: $from, to: $to"
PAGES = {
    "board, 20 of each column": f"query($id: ID!, $filter: DealFilter, $asOf: AsOf) {{ {BOARD} }} {CARD}",
    "the same as of half the log": f"""query($id: ID!, $filter: DealFilter, $then: AsOf) {{
      {BOARD.replace("$asOf", "$then")} }} {CARD}""",
    "one column, 50": f"""query($stage: ID!, $filter: DealFilter) {{ node(id: $stage) {{ ... on Stage {{ id
      deals(first: 50, filter: $filter, orderBy: [{{field: RANK}}]) {{ edges {{ cursor node {{ ...DealCard }} }}
      pageInfo {{ endCursor hasNextPage }} }} }} }} }} {CARD}""",
    "a deal": f"""query($deal: ID!) {{ deal(id: $deal) {{ ...DealCard pipeline {{ id name stages {{ id name }} }}
      lines {{ total {{ amount }} }} contacts {{ part }} stageIntervals {{ stage {{ id }} from to seconds }} }} }} {CARD}""",
    "trend of a year by day": f"""query($id: ID!, $from: Date!, $to: Date!) {{ pipeline(id: $id) {{
      trend({PERIOD}, interval: DAY) {{ date openCount openAmount {{ amount currency }} wonCount }} }} }}""",
    "forecast by month and owner": f"""query($id: ID!, $from: Date!, $to: Date!) {{ pipeline(id: $id) {{
      forecast({PERIOD}, interval: MONTH, byOwner: true) {{ date owner {{ id name }} closed {{ amount }} commit {{ amount }}
      estimate {{ low mid high }} }} }} }}""",
    "funnel of a year": f"""query($id: ID!, $from: Date!, $to: Date!) {{ pipeline(id: $id) {{
      funnel({PERIOD}) {{ stage {{ id name }} entered converted conversionRate medianDays p90Days }} }} }}""",
    "delta since half the log": f"""query($id: ID!, $then: AsOf!) {{ pipeline(id: $id) {{ delta(from: $then) {{
      start {{ count {WORTH} }} new {{ count {WORTH} deals(first: 10) {{ nodes {{ ...DealCard }} }} }} grown {{ {WORTH} }}
      lost {{ count {WORTH} }} end {{ count {WORTH} }} }} }} }} {CARD}""",
}


class Team:
    """A pipeline, 20 members and 200 companies; `deals` makes the deals between them."""

    def __init__(self) -> None:
        self.dice = Random(1)  # the same board every time
        self.pipeline = uuid.uuid4()
        self.stages = {name: uuid.uuid4() for name in STAGES}
        self.members, self.companies = ([uuid.uuid4() for _ in range(count)] for count in (20, 200))

    def founded(self) -> list[Stream]:
        stages = [
            Stage(id=self.stages[name], name=name, type=_type(name), probability=Decimal(chance), rot_days=30)
            for name, chance in STAGES.items()
        ]
        firms = [
            (COMPANY, id_, company.register(CompanyEdit(name=f"Firm {n}"), id=id_))
            for n, id_ in enumerate(self.companies)
        ]
        people = [(member.MEMBER, id_, member.register(name=f"Seller {n}")) for n, id_ in enumerate(self.members)]
        return [(PIPELINE, self.pipeline, pipeline.create(name="Sales", stages=stages)), *people, *firms]

    def deal(self, number: int, *, closed: bool) -> Stream:
        """Of the last year: moved a few times, then won, lost, or still open."""
        at = NOW - timedelta(minutes=self.dice.randrange(60 * 24 * (300 if closed else 60)) + 60 * 24 * 40)
        close = (NOW + timedelta(days=self.dice.randrange(120))).date()
        form = DealEdit(
            name=f"Deal {number}: 100 seats for a year",
            amount=Money(self.dice.randrange(1, 5_000_000), self.dice.choice(["EUR", "USD"])),
            company_id=self.dice.choice(self.companies), owner_id=self.dice.choice(self.members), expected_close_date=close,
        )  # fmt: skip
        where = {"pipeline_id": self.pipeline, "stage_id": self.stages["New"], "rank": self.on_top(at)}
        events: list[Any] = list(dealing.open_deal(form, **where, on=Occasion(at)))
        for decide in self.steps(closed=closed):
            at += timedelta(days=self.dice.randrange(1, 9))
            events += decide(_folded(events), Occasion(at))
        return DEAL, uuid.uuid4(), events

    def steps(self, *, closed: bool) -> list[Callable[[Deal, Occasion], list[Any]]]:
        names = ["Talking", "Offer", "Contract"][: self.dice.randrange(4)]
        taken = [self._moved(name) for name in names]
        taken.append(lambda was, on: dealing.update(was, DealEdit(forecast_category=self.dice.choice(_CHOICES)), on=on))
        if closed:
            taken.append(self._won if self.dice.random() < 0.6 else self._lost)
        return taken

    def _moved(self, name: str) -> Callable[[Deal, Occasion], list[Any]]:
        return lambda was, on: dealing.move(was, stage_id=self.stages[name], rank=self.on_top(on.at), on=on)

    def _won(self, was: Deal, on: Occasion) -> list[Any]:
        return dealing.win(was, stage_id=self.stages["Won"], rank=self.on_top(on.at), on=on)

    def _lost(self, was: Deal, on: Occasion) -> list[Any]:
        return dealing.lose(was, reason="No money.", stage_id=self.stages["Lost"], rank=self.on_top(on.at), on=on)

    def on_top(self, at: datetime) -> str:
        return ranks.on_top(at, uuid.uuid4())


_CHOICES = (ForecastCategory.COMMIT, ForecastCategory.BEST_CASE, ForecastCategory.PIPELINE)


def _type(name: str) -> StageType:
    return {"Won": StageType.WON, "Lost": StageType.LOST}.get(name, StageType.OPEN)


def _folded(events: list[Any]) -> Deal:
    state = None
    for event in events:
        state = evolve(state, event)
    assert state is not None
    return state


async def run(place: Bench, options: argparse.Namespace) -> None:
    team, halves, one = Team(), list[int](), list[uuid.UUID]()

    async def tell(begin: Callable[..., Awaitable[int]]) -> None:
        await begin(*team.founded())
        made = [team.deal(n, closed=n >= options.open) for n in range(options.open + options.closed)]
        team.dice.shuffle(made)
        one.append(made[0][1])
        for half in (made[: len(made) // 2], made[len(made) // 2 :]):
            halves.append(await begin(*half))

    await place.write(tell)
    variables = {
        "id": ids.encode("Pipeline", team.pipeline), "stage": ids.encode("Stage", team.stages["New"]), "asOf": None,
        "deal": ids.encode("Deal", one[0]), "filter": {"status": {"eq": "OPEN"}}, "then": {"position": str(halves[0])},
        "from": f"{NOW - timedelta(days=364):%Y-%m-%d}", "to": f"{NOW:%Y-%m-%d}",
    }  # fmt: skip
    await place.measure(PAGES, variables, options.asks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--open", type=int, default=2_000, help="deals")
    parser.add_argument("--closed", type=int, default=6_000, help="deals that were won or lost")
    parser.add_argument("--asks", type=int, default=60, help="of each page, each way")
    options = parser.parse_args()
    with bench() as place:
        asyncio.run(run(place, options))


if __name__ == "__main__":
    main()
