"""Tickets with promises in an API test's workspace, and the processes that watch over them."""

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg

from crm_es.occasions import Occasion
from crm_es.service import queue, sla_policy, ticket, ticket_editing
from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import Priority, SlaKind
from crm_es.service.sla import SlaTarget
from crm_es.service.ticket_aggregate import TICKET
from tests.commands.running import environment

ALWAYS = Calendar(time_zone="UTC", hours=tuple(OpeningHours(weekday=day, opens=0, closes=1440) for day in range(1, 8)))
MINUTES = {SlaKind.FIRST_RESPONSE: 10, SlaKind.RESOLUTION: 30}


def ago(minutes):
    return Occasion(datetime.now(UTC) - timedelta(minutes=minutes))


async def promise(api):
    """A queue with a policy that is always open; answers how tickets get into it."""
    id_ = await api.begin(queue.QUEUE, queue.create(queue.QueueEdit(name="Help")))
    targets = [
        SlaTarget(kind=kind, priority=Priority.NORMAL, seconds=minutes * 60) for kind, minutes in MINUTES.items()
    ]
    stream = sla_policy.stream_of(api.workspace, "Gold")
    published = sla_policy.publish(None, name="Gold", queue_ids=[id_], targets=targets, calendar=ALWAYS)
    await api.begin(sla_policy.SLA_POLICY, published, id=stream)
    return {"queue_id": id_, "sla_policy_id": stream, "sla_policy_version": 1}


async def open_ticket(api, promised, minutes):
    return await api.begin(TICKET, ticket_editing.open_ticket(title="Help", on=ago(minutes), **promised))


async def answer(api, id_, minutes):
    await api.change(TICKET, id_, lambda was: ticket.reply(was, uuid4(), internal=False, on=ago(minutes)))


def breaches(api, place):
    """How often each clock's breach is recorded: (ticket, command) → count."""
    with psycopg.connect(place.urls.owner) as connection:
        found = connection.execute(
            "SELECT originator_id, command_id FROM es.events WHERE workspace_id = %s AND topic = 'ticket.sla_breached'",
            [api.workspace],
        ).fetchall()
    return Counter(found)


@contextmanager
def process(place):
    """The projector and its timer, as `serve` starts them."""
    urls = {"CRM_DATABASE_URL": place.urls.app, "CRM_PROJECTOR_DATABASE_URL": place.urls.projector}
    started = subprocess.Popen(
        [sys.executable, "-m", "crm_es.serving.projecting"],
        stdin=subprocess.PIPE,
        env=environment(place.settings.data_dir) | urls,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdin.close()
