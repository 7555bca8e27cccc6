"""Who did what to which record, when, and the names of the fields it changed. No values: those are folded from the streams."""

from collections.abc import Sequence
from typing import Final

from crm_es.catalog import EVENT_CLASSES
from crm_es.eventstore.event import Fact, changed_fields
from crm_es.projector.contract import Batch, Column, Index, Table

NAME = "audit_trail"
VERSION = 3

EVENT: Final = Table(
    name="event",
    columns=(
        Column(name="stream_id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="type", type="text"),
        Column(name="entity_type", type="text"),
        Column(name="via", type="uuid", null=True),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="recorded_at", type="timestamptz"),
        Column(name="actor_kind", type="text"),
        Column(name="actor_id", type="uuid", null=True),
        Column(name="on_behalf_of", type="uuid", null=True),
        Column(name="authenticated_by", type="text", null=True),
        Column(name="client", type="text", null=True),
        Column(name="address", type="text", null=True),
        Column(name="import_id", type="uuid", null=True),
        Column(name="import_row", type="integer", null=True),
        Column(name="command_id", type="uuid"),
        Column(name="correlation_id", type="uuid"),
        Column(name="causation_id", type="uuid", null=True),
        Column(name="fields", type="text[]"),
    ),
    key=("position",),
    versioned=False,
    indexes=(
        Index(name="stream", columns=("stream_id", "version")),
        Index(name="occurred", columns=("occurred_at",), order=True),
        Index(name="recorded", columns=("recorded_at",)),
        Index(name="type", columns=("type",)),
        Index(name="actor", columns=("actor_id",), where="actor_id IS NOT NULL"),
        Index(name="command", columns=("command_id",)),
        Index(name="correlation", columns=("correlation_id",)),
    ),
)
TABLES: tuple[Table, ...] = (EVENT,)
TOPICS = frozenset(event.TOPIC for event in EVENT_CLASSES)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        run = fact.origin.import_
        batch.insert(
            EVENT,
            fact,
            stream_id=fact.stream,
            version=fact.version,
            type=fact.topic,
            entity_type=fact.topic.partition(".")[0],
            via=fact.via,
            occurred_at=fact.occurred_at,
            recorded_at=fact.recorded_at,
            actor_kind=fact.actor.kind,
            actor_id=fact.actor.id,
            on_behalf_of=fact.actor.on_behalf_of,
            authenticated_by=fact.actor.auth,
            client=fact.origin.client,
            address=fact.origin.address,
            import_id=run and run.id,
            import_row=run and run.row,
            command_id=fact.command_id,
            correlation_id=fact.correlation_id,
            causation_id=fact.causation_id,
            fields=list(changed_fields(fact.event)),
        )
