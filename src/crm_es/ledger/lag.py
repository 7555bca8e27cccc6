"""How far sealing is behind, for those who watch: the sealer itself may be the one that does not run."""

import logging
from datetime import timedelta
from typing import Any, Final

from prometheus_client import Gauge

from crm_es.errors import UnavailableError
from crm_es.ledger.book import NIL

log = logging.getLogger(__name__)

EVENTS: Final = Gauge("crm_sealer_lag_events", "Events recorded and not sealed yet")
SECONDS: Final = Gauge("crm_sealer_lag_seconds", "How long the oldest event that is not sealed waits")
REOPENED: Final = Gauge("crm_sealer_reopened_logs", "Logs in a later epoch: what was signed before is not all there")
_LAG: Final = b"SELECT unsealed, clock_timestamp() - waiting_since, reopened FROM ledger.lag()"


async def measure(connections: Any) -> None:
    """Set the gauges; while the database does not answer they keep what they had. `connections`: `reads.driver`'s."""
    try:
        async with connections.snapshot(NIL) as snapshot:
            ((unsealed, waiting, reopened),) = await snapshot.fetch(_LAG, last=True)
    except UnavailableError as error:
        log.warning("the sealer's lag is not known: %s", error)
        return
    EVENTS.set(unsealed)
    SECONDS.set((waiting or timedelta()).total_seconds())
    REOPENED.set(reopened)
