"""Events that say they are the ledger's and are not.

The database lets the sealer's role alone append under a topic `ledger.…`; what an event's bytes say it does not look at.
Verifiers have nothing but the bytes: one that claimed to seal another map of heads would prove complete what is not. Such an
event is never signed, nor what comes after it.
"""

import json

from crm_es.ledger.book import Entry


class PretenceError(Exception):
    """An entry's bytes claim to be the ledger's."""


def pretends(entry: Entry) -> bool:
    """Read as verifiers read it: leniently, the last of two equal keys, however it is escaped."""
    if b"ledger." not in entry.data and b"\\u00" not in entry.data:
        return False
    try:
        said = json.loads(entry.data)
    except (ValueError, RecursionError):
        return True  # other readers may make something of it
    kind = said.get("type") if isinstance(said, dict) else None
    return isinstance(kind, str) and kind.startswith("ledger.") and kind != entry.topic
