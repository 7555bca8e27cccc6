"""What other rooms hang on deals: those of a contact, whichever id it was recorded with."""

from typing import Final

from crm_es.projector.contract import Table
from crm_es.reads.declare import Link, Source
from projections import pipelines
from projections.pipelines import tables


def source(table: Table) -> Source:
    return Source(pipelines.NAME, table)


OF_CONTACT: Final = Link(source=source(tables.DEAL_CONTACT), parent="canonical_id", child="deal_id")
