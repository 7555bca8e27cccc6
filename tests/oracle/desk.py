"""What people do at the service desk of a random history: queues, promises, tickets; what is done to several over the API."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from crm_es.api import ids
from crm_es.errors import RuleViolatedError
from crm_es.occasions import Occasion, dated
from crm_es.service import queue
from crm_es.service import ticket as standing
from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketType
from crm_es.service.queue import QUEUE
from crm_es.service.sla import SlaTarget
from crm_es.service.sla_policy import SLA_POLICY, publish, stream_of
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_editing import TicketEdit, open_ticket, update
from tests.oracle.history import WORDS, History

ALWAYS = Calendar(
    time_zone="UTC", hours=tuple(OpeningHours(weekday=day, opens=480, closes=1080) for day in range(1, 7))
)
NO_PROMISE: dict[str, Any] = {"sla_policy_id": None, "sla_policy_version": None}


def later(history: History) -> Occasion:
    """Business time goes on, whatever the day is."""
    history.clock += timedelta(minutes=history.random.randrange(200))
    return Occasion(history.clock)


# Queues


async def found_queue(history: History) -> None:
    days = history.maybe(("reopen_days", 0, 5), ("auto_close_days", 7, None))
    await history.begin(QUEUE, queue.create(queue.QueueEdit(name=history.random.choice(["Hilfe", "Öffnung"]), **days)))


async def change_queue(history: History) -> None:
    form = queue.QueueEdit(**history.maybe(("name", "Ruf", "Hilfe"), ("auto_close_days", 3, None)))
    deed = history.random.choice([lambda was: queue.change(was, form), queue.archive, queue.restore])
    await history.change(QUEUE, history.any("Queue"), deed)


async def promise(history: History) -> None:
    """The next version of the one policy there is."""
    stream = stream_of(history.workspace, "Gold")
    targets = [
        SlaTarget(kind=kind, priority=each, seconds=history.random.choice([900, 40_000]))
        for kind in SlaKind
        for each in Priority
    ]
    said: dict[str, Any] = {
        "name": "Gold", "targets": targets, "calendar": ALWAYS, "queue_ids": history.streams["Queue"][:2],
        "paused_by": history.random.sample(list(HoldReason), 2),
    }  # fmt: skip
    if not history.published:
        await history.begin(SLA_POLICY, publish(None, **said), id=stream)
    else:
        await history.change(SLA_POLICY, stream, lambda was: publish(was, **said))
    history.published += 1


def promised(history: History) -> dict[str, Any]:
    if not history.published or history.random.random() < 0.3:
        return NO_PROMISE
    return {"sla_policy_id": stream_of(history.workspace, "Gold"), "sla_policy_version": history.published}


# Tickets


async def ask_for_help(history: History) -> None:
    said = history.maybe(
        ("type", *TicketType), ("priority", *Priority), ("requester_id", *history.streams["Contact"]),
        ("company_id", *(history.streams["Company"] or [None])),
        ("follow_up_of_id", *(history.streams["Ticket"] or [None])),
    )  # fmt: skip
    opened = open_ticket(
        title=history.random.choice(WORDS), queue_id=history.any("Queue"), tags=history.tags(), on=later(history),
        external_ids=history.some(history.external_id, 1), **promised(history), **said,
    )  # fmt: skip
    await history.begin(TICKET, dated(opened))


async def edit_ticket(history: History) -> None:
    form = TicketEdit(
        add_tags=history.tags(), remove_tags=history.tags(),
        **history.maybe(
            ("title", *WORDS), ("type", *TicketType), ("requester_id", None, *history.streams["Contact"]),
            ("company_id", None, *history.streams["Company"]),
        ),
    )  # fmt: skip
    await history.change(TICKET, history.any("Ticket"), lambda was: update(was, form))


def moving(decide: Callable[..., Sequence[Any]], *given: Callable[[History], Any], **more: Any) -> Any:
    """A deed that moves a ticket on, addressed to whatever id, merged ones too."""

    async def deed(history: History) -> None:
        chosen, on = [choose(history) for choose in given], later(history)
        await history.change(TICKET, history.any("Ticket"), lambda was: dated(decide(was, *chosen, **more, on=on)))

    deed.__name__ = f"{decide.__name__}_ticket"
    return deed


async def move_ticket(history: History) -> None:
    to, on = history.any("Queue"), later(history)
    under = promised(history)
    await history.change(TICKET, history.any("Ticket"), lambda was: dated(standing.move(was, to, **under, on=on)))


async def rate_ticket(history: History) -> None:
    said, comment = history.random.randrange(1, 6), history.random.choice([None, *WORDS])
    await history.change(TICKET, history.any("Ticket"), lambda was: standing.rate(was, said, comment))


# Over the API, which does several things at once


async def write_on_ticket(history: History) -> None:
    ticket = history.any("Ticket")
    given = {"body": history.random.choice(WORDS), "internal": history.random.random() < 0.5}
    found = await api(history, "replyToTicket", "interaction { id }", id=ids.encode("Ticket", ticket), **given)
    text = ids.decode(found["interaction"]["id"]).id
    history.streams["Interaction"].append(text)
    history.written.append((ticket, text))


async def merge_tickets(history: History) -> None:
    survivor, absorbed = history.random.sample(history.streams["Ticket"], 2)
    both = {"survivorId": ids.encode("Ticket", survivor), "absorbedId": ids.encode("Ticket", absorbed)}
    await api(history, "mergeTickets", "position", reason="one request", **both)
    history.joined.append(absorbed)


async def unmerge_ticket(history: History) -> None:
    absorbed = ids.encode("Ticket", history.random.choice(history.joined or history.streams["Ticket"]))
    await api(history, "unmergeTicket", "position", absorbedId=absorbed, reason="two requests")


async def split_ticket(history: History) -> None:
    if not history.written:
        await write_on_ticket(history)
    ticket, text = history.random.choice(history.written)
    parts = {"title": "A part", "interactionIds": [ids.encode("Interaction", text)]}
    found = await api(history, "splitTicket", "split { id }", id=ids.encode("Ticket", ticket), **parts)
    history.streams["Ticket"].append(ids.decode(found["split"]["id"]).id)


async def api(history: History, mutation: str, selection: str, **given: Any) -> Any:
    """Raises: RuleViolatedError with the rule that refused it."""
    kind = mutation[0].upper() + mutation[1:] + "Input"
    document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ {selection} userErrors {{ rule message }} }} }}"
    said = {"occurredAt": later(history).at.isoformat(), "commandId": str(uuid4())} | given
    payload = (await history.api.ask(document, who=history.who, i=said))[mutation]
    for error in payload["userErrors"]:
        raise RuleViolatedError(error["message"], rule=error["rule"])
    return payload


def anybody(history: History) -> UUID | None:
    return history.random.choice([None, history.member])


def ready(deed: Callable[[History], Any]) -> Any:
    """The deed, once there is a queue with two tickets."""

    async def at_desk(history: History) -> None:
        if not history.streams["Queue"]:
            await found_queue(history)
        while len(history.streams["Ticket"]) < 2:
            await ask_for_help(history)
        await deed(history)

    at_desk.__name__ = deed.__name__
    return at_desk


DEEDS = [ready(deed) for deed in (
    *[ask_for_help] * 4, *[edit_ticket] * 2, *[moving(standing.assign, anybody)] * 3,
    *[moving(standing.hold, lambda history: history.random.choice(list(HoldReason)))] * 2, moving(standing.resume),
    *[moving(standing.resolve)] * 2, moving(standing.close), moving(standing.reopen, window=None),
    moving(standing.prioritize, lambda history: history.random.choice(list(Priority))), move_ticket, rate_ticket,
    found_queue, change_queue, promise, *[write_on_ticket] * 3, *[merge_tickets] * 2, unmerge_ticket, split_ticket,
)]  # fmt: skip
