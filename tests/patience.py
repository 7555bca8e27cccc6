"""Settings under which nobody is told to come again, or stopped, because a machine is slow or pauses."""

from pathlib import Path

from crm_es.config import Settings
from tests.waiting import PATIENCE_SECONDS

LONG_MS = "60000"
"""Less than the patience of who asks again: what was lost with a database that was killed may be asked for again in time."""
PATIENT = {
    "CRM_PROJECTION_WAIT_MS": LONG_MS,
    "CRM_QUERY_TIMEOUT_MS": LONG_MS,
    "CRM_SHUTDOWN_SECONDS": str(PATIENCE_SECONDS),
    "CRM_STATEMENT_TIMEOUT_MS": LONG_MS,
}


def patient(data_dir: Path) -> Settings:
    return Settings.from_environment(PATIENT | {"CRM_DATA_DIR": str(data_dir)})
