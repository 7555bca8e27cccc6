"""What changed since a position: every record once, at its newest; and the containers (contacts, companies, pipelines, stages,
queues) it is or was in.

For caches that sync and screens that subscribe. A record in a container it left is GONE from there at the position it left.
What is in a contact that is merged is in its survivor from then on: containers stand as recorded, `meaning` says what they mean.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts import company, contact_events
from crm_es.eventstore.event import Fact
from crm_es.interactions import interaction
from crm_es.projector.contract import Batch, Column, Index, Table
from crm_es.sales import deal_events, pipeline, product
from crm_es.service import article, queue, ticket_events
from crm_es.workspaces import export, member

NAME = "changes"
VERSION = 4

RECORD: Final = Table(
    name="record",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="type", type="text"),
        Column(name="version", type="integer"),
        Column(name="gone", type="bool", default=False),
        Column(name="command_id", type="uuid"),
    ),
    versioned=False,
    indexes=(Index(name="position", columns=("position",), order=True),),
)
CONTAINED: Final = Table(
    name="contained",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="container_id", type="uuid"),
        Column(name="type", type="text"),
        Column(name="left_it", type="bool", default=False),
    ),
    key=("id", "container_id"),
    versioned=False,
    indexes=(Index(name="container", columns=("container_id",)),),
)
MEANING: Final = Table(
    name="meaning",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="means_id", type="uuid"),
        Column(name="left_it", type="bool", default=False),
    ),
    key=("id", "means_id"),
    versioned=False,
    indexes=(Index(name="means", columns=("means_id",)),),
)
TABLES: tuple[Table, ...] = (RECORD, CONTAINED, MEANING)
_Party = contact_events.ContactEvent | company.CompanyEvent | interaction.InteractionEvent | member.MemberEvent
_Sales = product.ProductEvent | pipeline.PipelineEvent | deal_events.DealEvent
_Event = _Party | _Sales | queue.QueueEvent | ticket_events.TicketEvent | article.ArticleEvent | export.ExportEvent
TOPICS = frozenset(e.TOPIC for e in _Event.__args__)

_GONE: Final = frozenset(
    {
        "contact.archived", "contact.absorbed", "company.archived", "interaction.retracted", "queue.archived",
        "ticket.absorbed", "article.archived", "pipeline.archived", "deal.archived",
    }
)  # fmt: skip
_BACK: Final = frozenset(
    {
        "contact.restored", "contact.unmerged", "company.restored", "queue.restored", "ticket.unmerged",
        "article.restored", "pipeline.restored", "deal.restored",
    }
)  # fmt: skip


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        values = {"version": fact.version, "command_id": fact.command_id, "type": fact.topic.partition(".")[0].upper()}
        if fact.topic in _GONE or fact.topic in _BACK:
            values["gone"] = fact.topic in _GONE
        _write(batch, fact)(RECORD, fact, id=fact.stream, **values)
        _contain(batch, fact)


def _write(batch: Batch, fact: Fact) -> Callable[..., None]:
    """A stream's first event finds no row of its own: most events are the first, and an insert looks for none."""
    return batch.insert if fact.version == 1 else batch.put


def _contain(batch: Batch, fact: Fact) -> None:
    match fact.event:
        case interaction.InteractionRecorded(contact_ids=contacts, company_id=into):
            _enter(batch, fact, contacts, "CONTACT")
            _enter(batch, fact, _known(into), "COMPANY")
        case interaction.InteractionLinked(contact_ids=contacts):
            _enter(batch, fact, contacts, "CONTACT")
        case interaction.InteractionUnlinked(contact_ids=contacts):
            for contact in contacts:
                batch.put(CONTAINED, fact, id=fact.stream, container_id=contact, type="CONTACT", left_it=True)
        case contact_events.ContactMerged(absorbed_ids=absorbed, company_id=into):
            _mean(batch, fact, absorbed, fact.stream)
            _move(batch, fact, "COMPANY", into)
        case contact_events.ContactReleased(absorbed_ids=absorbed, absorbed_id=target):
            _mean(batch, fact, absorbed, target)
        case contact_events.ContactRegistered(company_id=into) | company.CompanyRegistered(parent_id=into):
            _enter(batch, fact, _known(into), "COMPANY")
        case (
            contact_events.ContactCompanyChanged(company_id=into)
            | interaction.InteractionCorrected(company_id=into)
            | company.CompanyParentChanged(parent_id=into)
        ):
            _move(batch, fact, "COMPANY", into)
        case ticket_events.TicketOpened(queue_id=waits, company_id=into, requester_id=requester):
            _enter(batch, fact, [waits], "QUEUE")
            _enter(batch, fact, _known(into), "COMPANY")
            _enter(batch, fact, _known(requester), "CONTACT")
        case ticket_events.TicketUpdated(company_id=into, requester_id=requester):
            _move(batch, fact, "COMPANY", into)
            _move(batch, fact, "CONTACT", requester)
        case ticket_events.TicketMoved(queue_id=into):
            _move(batch, fact, "QUEUE", into)
        case deal_events.DealOpened(pipeline_id=goes, stage_id=stands, company_id=into, contacts=parties):
            _enter(batch, fact, [goes], "PIPELINE")
            _enter(batch, fact, [stands], "STAGE")
            _enter(batch, fact, _known(into), "COMPANY")
            _enter(batch, fact, () if parties is UNSET else [one.contact_id for one in parties], "CONTACT")
        case deal_events.DealUpdated(company_id=into):
            _move(batch, fact, "COMPANY", into)
        case (
            deal_events.DealMoved(stage_id=into)
            | deal_events.DealWon(stage_id=into)
            | deal_events.DealLost(stage_id=into)
            | deal_events.DealReopened(stage_id=into)
        ):
            _move(batch, fact, "STAGE", into)
        case deal_events.DealContactsChanged(contacts=parties):
            _move_all(batch, fact, "CONTACT", [one.contact_id for one in parties])
        case _:
            pass


def _known(id_: UUID | UnsetType | None) -> Iterable[UUID]:
    return [id_] if isinstance(id_, UUID) else []


def _enter(batch: Batch, fact: Fact, containers: Iterable[UUID], kind: str) -> None:
    write = _write(batch, fact)
    for container in dict.fromkeys(containers):
        write(CONTAINED, fact, id=fact.stream, container_id=container, type=kind, left_it=False)


def _move(batch: Batch, fact: Fact, kind: str, into: UUID | UnsetType | None) -> None:
    """Out of the one of this kind that it was in, into another or none."""
    if into is not UNSET:
        _move_all(batch, fact, kind, _known(into))


def _move_all(batch: Batch, fact: Fact, kind: str, into: Iterable[UUID]) -> None:
    """Out of all of this kind but these, into those of them that it was not in."""
    containers = list(into)
    batch.execute(fact, _LEAVE, id=fact.stream, kind=kind, into=containers)
    for container in containers:
        batch.save(CONTAINED, fact, id=fact.stream, container_id=container, type=kind, left_it=False)


def _mean(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID) -> None:
    """These ids mean another contact from now on, and nothing else: what is in them came over with them."""
    ids = list(absorbed)
    for statement in (_MEAN_THEMSELVES, _MEAN_NO_MORE, _MEAN, _COME_OVER):
        batch.execute(fact, statement, ids=ids, target=target)


# Where no row says otherwise, an id means itself.
_MEAN_THEMSELVES: Final = """
INSERT INTO {schema}.meaning (workspace_id, id, means_id, left_it, position)
SELECT %(workspace_id)s, id, id, false, %(position)s
FROM unnest(%(ids)s::uuid[]) AS u (id)
ON CONFLICT (workspace_id, id, means_id) DO NOTHING
"""
_MEAN_NO_MORE: Final = """
UPDATE {schema}.meaning
SET left_it = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND id = ANY (%(ids)s::uuid[]) AND means_id <> %(target)s::uuid AND NOT left_it
"""
_MEAN: Final = """
INSERT INTO {schema}.meaning (workspace_id, id, means_id, left_it, position)
SELECT %(workspace_id)s, id, %(target)s::uuid, false, %(position)s
FROM unnest(%(ids)s::uuid[]) AS u (id)
ON CONFLICT (workspace_id, id, means_id) DO UPDATE
SET left_it = false, position = excluded.position
"""
_COME_OVER: Final = """
UPDATE {schema}.record r
SET position = %(position)s
FROM (
  SELECT DISTINCT id
  FROM {schema}.contained
  WHERE workspace_id = %(workspace_id)s AND container_id = ANY (%(ids)s::uuid[]) AND NOT left_it
) c
WHERE r.workspace_id = %(workspace_id)s AND r.id = c.id AND r.position < %(position)s
"""
_LEAVE: Final = """
UPDATE {schema}.contained
SET left_it = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND type = %(kind)s AND NOT left_it
  AND container_id <> ALL (%(into)s::uuid[])
"""
