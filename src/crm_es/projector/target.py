"""One read model on its way through the log: which schema it fills, and how a page becomes its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from crm_es.eventstore.event import Fact
from crm_es.projector.batch import PageBatch
from crm_es.projector.contract import ReadModel


@dataclass(slots=True)
class Target:
    """A read model in `schema`, which is also its bookmark's name; `log_id` is where the bookmark stands."""

    model: ReadModel
    schema: str
    log_id: int

    def apply(
        self, connection: Connection[Any], facts: Sequence[Fact], meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Write the rows of these facts, in the caller's transaction and pipeline. `meanwhile`: as `PageBatch` has it."""
        mine = [f for f in facts if f.topic in self.model.TOPICS]
        if mine:
            batch = PageBatch(connection, self.schema, meanwhile)
            self.model.apply(batch, mine)
            batch.flush()
