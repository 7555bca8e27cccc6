"""How deals stood as of a position: by plain SQL over `pipelines`, and by folding the log."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

from crm_es.sales import deal as d
from crm_es.sales import deal_events as e
from crm_es.sales import pipeline as p
from crm_es.sales.deal_values import total
from tests.projections.past import as_of, folded, meanings

_COLUMNS = (
    "version", "record_status", "name", "pipeline_id", "stage_id", "status", "rank", "amount_minor", "amount_currency",
    "probability", "weighted_minor", "forecast_category", "expected_close_date", "company_id", "contact_id", "owner_id",
    "closing_owner_id", "lost_reason", "opened_at", "closed_at", "stage_entered_at", "rots_at",
)  # fmt: skip


def deal_by_rows(rows, workspace, deal, position):
    key = "workspace_id = %s AND id = %s"
    found = as_of(rows, "pipelines.deal", ", ".join(_COLUMNS), key, workspace, deal, position=position)
    if not found:
        return None
    (row,) = found

    def of_deal(table, columns, where="true"):
        key = f"workspace_id = %s AND deal_id = %s AND {where}"
        return sorted(as_of(rows, f"pipelines.{table}", columns, key, workspace, deal, position=position), key=str)

    return dict(zip(_COLUMNS, row, strict=True)) | {
        "contacts": of_deal("deal_contact", "canonical_id, part, is_primary", "canonical_id IS NOT NULL"),
        "lines": of_deal(
            "deal_line", "number, product_id, description, quantity, currency, total_minor", "NOT removed"
        ),
        "stages": of_deal("stage_interval", "number, stage_id, from_at, to_at"),
        "intervals": of_deal(
            "deal_interval", "number, stage_id, status, owner_id, amount_minor, amount_currency, from_at, to_at"
        ),
    }


def deal_by_fold(log, workspace, deal, position):
    state, facts = folded(log, workspace, deal, position, d.evolve)
    if state is None:
        return None
    rule = _rule(log, workspace, state, position)
    chance = {"WON": Decimal(1), "LOST": Decimal(0)}.get(
        state.status, rule.probability if state.probability is None else state.probability
    )
    money = state.amount
    closed = state.status is not d.DealStatus.OPEN
    stages, intervals = _intervals(facts)
    rots = None if closed or rule.rot_days is None else _touched(facts) + timedelta(days=rule.rot_days)
    weighted = None if money is None else int((money.minor * chance).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    means = meanings(log, workspace, position)
    return {
        "version": facts[-1].version, "record_status": "ARCHIVED" if state.archived else "ACTIVE", "name": state.name,
        "pipeline_id": state.pipeline_id, "stage_id": state.stage_id, "status": state.status.value, "rank": state.rank,
        "amount_minor": money and money.minor, "amount_currency": money and money.currency, "probability": chance,
        "weighted_minor": weighted, "forecast_category": state.category.value,
        "expected_close_date": state.expected_close_date, "company_id": state.company_id,
        "contact_id": next((means.get(o.contact_id, o.contact_id) for o in state.contacts if o.primary), None),
        "owner_id": state.owner_id, "closing_owner_id": _closing_owner(facts) if closed else None,
        "lost_reason": state.lost_reason, "opened_at": state.opened_at, "closed_at": state.closed_at,
        "stage_entered_at": stages[-1][2], "rots_at": rots, "contacts": sorted(_contacts(state, means), key=str),
        "lines": sorted(_lines(state), key=str), "stages": sorted(stages, key=str), "intervals": sorted(intervals, key=str),
    }  # fmt: skip


def _rule(log, workspace, state, position):
    """What the deal's stage says: as it was last, where it is retired."""
    stages = {}
    pipeline, facts = None, [f for f in log.facts if f.workspace == workspace and f.stream == state.pipeline_id]
    for fact in facts:
        if fact.position <= position:
            pipeline = p.evolve(pipeline, fact.event)
            stages |= {one.id: one for one in pipeline.stages}
    return stages[state.stage_id]


def _touched(facts):
    """When something last happened to it: moves say so themselves, else the envelope does."""
    own = [getattr(fact.event, "occurred_at", None) for fact in facts]
    return max(at if hasattr(at, "tzinfo") else fact.occurred_at for at, fact in zip(own, facts, strict=True))


def _closing_owner(facts):
    states = [None]
    for fact in facts:
        states.append(d.evolve(states[-1], fact.event))
    closings = [n for n, fact in enumerate(facts) if isinstance(fact.event, e.DealWon | e.DealLost)]
    return states[closings[-1]].owner_id


def _contacts(state, means) -> Iterator[tuple]:
    """Of those who mean the same the primary one, or the one with the smallest id."""
    stands = set()
    for one in sorted(state.contacts, key=lambda each: (not each.primary, each.contact_id)):
        meant = means.get(one.contact_id, one.contact_id)
        if meant not in stands:
            stands.add(meant)
            yield meant, one.part, one.primary


def _lines(state) -> Iterator[tuple]:
    for number, (line, text) in enumerate(d.described(state), 1):
        sum_ = total(line)
        currency = line.unit_price and line.unit_price.currency
        yield number, line.product_id, text, line.quantity, currency, sum_ and sum_.minor


def _intervals(facts):
    """Of stages, and of stage, status, owner and amount: what held between two of the deal's moves."""
    state, stages, whole = None, [], []
    for fact in facts:
        was, state = state, d.evolve(state, fact.event)
        money = state.amount
        held = (state.stage_id, state.status.value, state.owner_id, money and money.minor, money and money.currency)
        if was is None or was.stage_id != state.stage_id:
            stages.append((fact.version, state.stage_id, state.moved_at))
        if was is None or was.moved_at != state.moved_at or not whole or whole[-1][1:6] != held:
            whole.append((fact.version, *held, state.moved_at))
    return _ended(stages), _ended(whole)


def _ended(rows):
    return [(*row, after and after[-1]) for row, after in pairwise([*rows, None])]
