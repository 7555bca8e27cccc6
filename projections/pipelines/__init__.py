"""The board: pipelines with their stages, the deals in them with rank and value, and where each stood when, by business time.

Intervals of stage (`stage_interval`) and of stage, owner and amount together (`deal_interval`) answer what was open, whose and
how much at any business moment. Deals follow contacts that are merged.
"""

from collections.abc import Sequence

from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.sales.deal_events import DealEvent
from crm_es.sales.pipeline import PipelineEvent
from crm_es.sales.product import ProductEvent
from projections.pipelines import deals, parties, products, stages
from projections.pipelines.standing import Page
from projections.pipelines.tables import TABLES as TABLES

NAME = "pipelines"
VERSION = 4
_Event = ProductEvent | PipelineEvent | DealEvent | ContactMerged | ContactReleased
TOPICS = frozenset(e.TOPIC for e in _Event.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    page = Page.read(batch, facts)
    for fact in facts:
        match fact.topic.partition(".")[0]:
            case "product":
                products.apply(batch, fact)
            case "pipeline":
                stages.apply(batch, fact, page)
            case "deal":
                deals.apply(batch, fact, page)
            case _:
                parties.rekey(batch, fact, page)
