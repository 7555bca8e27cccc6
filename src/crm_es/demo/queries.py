"""Queries worth trying on the demo. A test runs them.

THEN is a year before its end, SOMEBODY one who had been registered twice and was merged: there is a past to see.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from crm_es.api import ids
from crm_es.demo.seed import Seeded
from crm_es.demo.story import Merge
from crm_es.demo.teller import Teller

YEAR: Final = timedelta(days=365)
CUSTOMERS: Final = """{
    contacts(first: 5, filter: { lifecycleStage: { eq: CUSTOMER } }, orderBy: [{ field: LAST_INTERACTION_AT, direction: DESC }]) {
      totalCount nodes { displayName primaryEmail lastInteractionAt company { name } owner { name } }
    }
  }"""
PAST: Final = """{
    now: contacts { totalCount }
    then: contacts(first: 3, asOf: { time: "THEN" }) { totalCount nodes { id liveId displayName lifecycleStage } }
  }"""
SEARCH: Final = """{ search(text: "王", first: 5) { edges { field snippet node { __typename id label } } } }"""
MERGED: Final = """{
    contact(id: "SOMEBODY") {
      displayName emails { address primary } absorbed { id displayName }
      timeline(first: 5) { nodes { occurredAt ... on Interaction { type subject member { name } } } }
    }
  }"""
HISTORY: Final = """{
    entity(id: "SOMEBODY") {
      label history(first: 5) { nodes { position type recordedAt actor { name } changes { field from to } } }
    }
  }"""
BOARD: Final = """{
    pipelines(first: 1) { nodes { name stages {
      name deals(first: 3) {
        summary { count amount { amount currency } } nodes { name owner { name } amount { amount currency } }
      }
    } } }
  }"""
LATE: Final = """{
    tickets(first: 5, filter: { breached: true }, orderBy: [{ field: NUMBER, direction: DESC }]) {
      totalCount nodes { title status priority queue { name } requester { displayName } sla { kind state dueAt breachedAt } }
    }
  }"""
QUERIES: Final = (
    ("Customers heard of last, with their company and owner", CUSTOMERS),
    ("How many there are now, and whom we knew a year before", PAST),
    ("Search in any script", SEARCH),
    ("Somebody who had been registered twice, and the timeline both halves share", MERGED),
    ("Who changed what about them, and when", HISTORY),
    ("The board: its columns, what they are worth and the deals on top", BOARD),
    ("Tickets that were promised an answer sooner", LATE),
)


def worth_trying(demo: Seeded) -> Sequence[tuple[str, str]]:
    """What each shows, and its text."""
    then = (demo.story.end - YEAR).isoformat().replace("+00:00", "Z")
    somebody = ids.encode("Contact", _merged(demo).survivor_id)
    return [(about, text.replace("THEN", then).replace("SOMEBODY", somebody)) for about, text in QUERIES]


def _merged(demo: Seeded) -> Merge:
    """The first merge of the story."""
    return next(deed for sitting in Teller(demo.story).tell() for _, deed in sitting.deeds if isinstance(deed, Merge))
