"""From a ticket's events to its rows. How its tickets stood before is read once a page; what follows is worked out here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self, assert_never
from uuid import UUID

from msgspec import UNSET

from crm_es.eventstore.event import ActorKind, Fact, values_set
from crm_es.projector.contract import Batch, Sql
from crm_es.service import ticket_events as t
from crm_es.service.enums import Priority, TicketStatus
from crm_es.service.ticket import waiting
from crm_es.text import fold
from projections.service_queues import clocks, requesters
from projections.service_queues.requesters import Meanings
from projections.service_queues.tables import ARTICLE, EXTERNAL_ID, INTERVAL, TAG, TICKET

_PLAIN: Final = ("title", "type", "company_id")
_OPENED: Final = (*_PLAIN, "follow_up_of_id", "split_from_id", "sla_policy_id", "sla_policy_version")
_RANKS: Final = {priority.value: rank for rank, priority in enumerate(Priority)}
_TO_WORK_ON: Final = frozenset({TicketStatus.NEW, TicketStatus.OPEN})
_NEVER_DUE: Final = "9999"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ticket's next row depends on."""

    status: str
    hold_reason: str | None
    queue_id: UUID
    assignee_id: UUID | None
    priority: str
    opened_at: datetime
    sla_due_at: datetime | None
    merged: bool
    intervals: int

    @property
    def shown(self) -> str:
        return TicketStatus.MERGED if self.merged else self.status

    @property
    def span(self) -> tuple[object, ...]:
        """What an interval says: another one begins where this changes."""
        return self.shown, self.hold_reason, self.queue_id, self.assignee_id

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the ticket's row that follow from it."""
        return {
            "status": self.shown,
            "standing": self.status,
            "hold_reason": self.hold_reason,
            "queue_id": self.queue_id,
            "assignee_id": self.assignee_id,
            "priority": self.priority,
            "priority_rank": _RANKS[self.priority],
            "sla_due_at": self.sla_due_at,
            "waiting_order": waiting_order(self) if self.shown in _TO_WORK_ON else "",
            "intervals": self.intervals,
        }


def waiting_order(standing: Standing) -> str:
    """Sorts by SLA due time (none comes last), then the higher priority, then age."""
    due = _NEVER_DUE if standing.sla_due_at is None else _sortable(standing.sla_due_at)
    return f"{due} {len(_RANKS) - _RANKS[standing.priority]} {_sortable(standing.opened_at)}"


def _sortable(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class Page:
    """What is known of the tickets of a page of facts: (workspace, ticket) → its standing; the last number of a workspace."""

    standings: dict[tuple[UUID, UUID], Standing]
    numbers: dict[UUID, int]
    meanings: Meanings
    clocks: clocks.Page

    @classmethod
    def read(cls, batch: Batch, facts: Sequence[Fact]) -> Self:
        mine = [fact for fact in facts if fact.topic.startswith("ticket.")]
        opened = {fact.stream for fact in mine if isinstance(fact.event, t.TicketOpened)}
        return cls(
            standings=_standings(batch, [fact for fact in mine if fact.stream not in opened]),
            numbers=_numbers(batch, {fact.workspace for fact in mine if fact.stream in opened}),
            meanings=requesters.meanings(batch, mine),
            clocks=clocks.Page.read(batch, facts),
        )

    def apply(self, batch: Batch, fact: Fact) -> None:
        self._apply(batch, fact)
        if changed := self.clocks.apply(batch, fact):
            self._time(batch, fact, changed)

    def _apply(self, batch: Batch, fact: Fact) -> None:  # noqa: PLR0915  # one match over the events
        event: t.TicketEvent = fact.event  # type: ignore[assignment]
        match event:
            case t.TicketOpened():
                self._open(batch, fact, event)
            case t.TicketUpdated():
                _touch(batch, fact, **values_set(event, _PLAIN), **self._requester(fact, event))
            case t.TicketTagged(tags=tags):
                _touch(batch, fact, tags=_tag(batch, fact, tags))
            case t.TicketUntagged(tags=tags):
                _touch(batch, fact, tags=_untag(batch, fact, tags))
            case t.TicketArticlesLinked(article_ids=articles):
                _link(batch, fact, articles)
                _touch(batch, fact)
            case t.TicketArticlesUnlinked(article_ids=articles):
                _unlink(batch, fact, articles)
                _touch(batch, fact)
            case t.TicketStarted(occurred_at=at) | t.TicketResumed(occurred_at=at):
                self._move(batch, fact, at, status=TicketStatus.OPEN, hold_reason=None)
            case t.TicketAssigned(assignee_id=assignee, occurred_at=at):
                self._move(batch, fact, at, assignee_id=assignee)
            case t.TicketPrioritized(priority=priority, occurred_at=at):
                self._move(batch, fact, at, priority=priority)
            case t.TicketMoved(queue_id=queue, occurred_at=at):
                attached = values_set(event, ("sla_policy_id", "sla_policy_version"))
                self._move(batch, fact, at, attached, queue_id=queue)
            case t.TicketHeld(hold_reason=reason, occurred_at=at):
                self._move(batch, fact, at, status=waiting(reason), hold_reason=reason)
            case t.TicketResolved(occurred_at=at):
                if isinstance(event.article_id, UUID):
                    _link(batch, fact, [event.article_id])
                since = None if fact.actor.kind is ActorKind.IMPORT else at
                said = values_set(event, ("resolution",)) | {"resolved_at": at, "to_close_from": since}
                self._move(batch, fact, at, said, status=TicketStatus.RESOLVED, hold_reason=None)
            case t.TicketClosed(occurred_at=at):
                closed = {"closed_at": at, "to_close_from": None}
                self._move(batch, fact, at, closed, status=TicketStatus.CLOSED, hold_reason=None)
            case t.TicketReopened(occurred_at=at):
                self._move(batch, fact, at, _REOPENED, status=TicketStatus.OPEN)
            case t.TicketRated(satisfaction=satisfaction, comment=comment):
                comment = None if comment is UNSET else comment
                _touch(batch, fact, satisfaction=satisfaction, satisfaction_comment=comment)
            case t.TicketReplied():
                public = not event.internal and not event.inbound
                _touch(batch, fact, **({"first_responded_at": Sql(_FIRST, event.occurred_at)} if public else {}))
            case t.TicketAbsorbed(survivor_id=survivor, occurred_at=at):
                self._move(batch, fact, at, {"merged_into": survivor}, merged=True)
            case t.TicketUnmerged(occurred_at=at):
                self._move(batch, fact, at, {"merged_into": None}, merged=False)
            case t.TicketSlaBreached():
                _touch(batch, fact, breached=True)
            case t.TicketMerged() | t.TicketReleased() | t.TicketSplit():
                _touch(batch, fact)
            case _:
                assert_never(event)

    def _open(self, batch: Batch, fact: Fact, event: t.TicketOpened) -> None:
        self.numbers[fact.workspace] = number = self.numbers.get(fact.workspace, 0) + 1
        tags = [] if event.tags is UNSET else list(dict.fromkeys(event.tags))
        standing = self.standings[fact.workspace, fact.stream] = _new(event)
        batch.insert(
            TICKET, fact, id=fact.stream, version=fact.version, number=number, tags=tags, opened_at=event.occurred_at,
            created_at=fact.recorded_at, updated_at=fact.recorded_at,
            **values_set(event, _OPENED), **standing.columns, **self._requester(fact, event),
        )  # fmt: skip
        for tag in tags:
            batch.insert(TAG, fact, ticket_id=fact.stream, tag=tag, tag_folded=fold(tag))
        for one in () if event.external_ids is UNSET else dict.fromkeys(event.external_ids):
            batch.insert(EXTERNAL_ID, fact, ticket_id=fact.stream, system=one.system, value=one.value)
        _begin(batch, fact, standing, event.occurred_at)

    def _requester(self, fact: Fact, event: t.TicketOpened | t.TicketUpdated) -> dict[str, Any]:
        requester = event.requester_id
        if requester is UNSET:
            return {}
        means = self.meanings.get((fact.workspace, requester), requester) if isinstance(requester, UUID) else None
        return {"requester_id": requester, "requester_means_id": means}

    def _move(
        self, batch: Batch, fact: Fact, at: datetime, more: dict[str, Any] | None = None, /, **changed: Any
    ) -> None:
        """The ticket stands otherwise from `at` on: its row, and the interval that ends and the one that begins there."""
        was = self.standings[fact.workspace, fact.stream]
        now = replace(was, **changed)
        if now.span != was.span:
            now = replace(now, intervals=was.intervals + 1)
            batch.update(INTERVAL, fact, {"ticket_id": fact.stream, "number": was.intervals}, to_at=at)
            _begin(batch, fact, now, at)
        self.standings[fact.workspace, fact.stream] = now
        _touch(batch, fact, **now.columns, **(more or {}))

    def _time(self, batch: Batch, fact: Fact, changed: dict[str, Any]) -> None:
        """What its clocks change of the ticket's row."""
        key = fact.workspace, fact.stream
        now = self.standings[key]
        if "sla_due_at" in changed:
            now = self.standings[key] = replace(now, sla_due_at=changed["sla_due_at"])
            changed |= {"waiting_order": now.columns["waiting_order"]}
        batch.update(TICKET, fact, {"id": fact.stream}, **changed)


def _new(event: t.TicketOpened) -> Standing:
    return Standing(
        status=TicketStatus.NEW, hold_reason=None, queue_id=event.queue_id, assignee_id=None, priority=event.priority,
        opened_at=event.occurred_at, sla_due_at=None, merged=False, intervals=1,
    )  # fmt: skip


def _begin(batch: Batch, fact: Fact, standing: Standing, at: datetime) -> None:
    batch.insert(
        INTERVAL, fact, ticket_id=fact.stream, number=standing.intervals, status=standing.shown,
        hold_reason=standing.hold_reason, queue_id=standing.queue_id, assignee_id=standing.assignee_id, from_at=at,
    )  # fmt: skip


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    """Every event of the ticket sets its version, and so is a version of its row."""
    batch.update(TICKET, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _tag(batch: Batch, fact: Fact, tags: Iterable[str]) -> Sql:
    names = list(dict.fromkeys(tags))
    for tag in names:
        batch.save(TAG, fact, ticket_id=fact.stream, tag=tag, tag_folded=fold(tag))
    return Sql(_WITH, names)


def _untag(batch: Batch, fact: Fact, tags: Iterable[str]) -> Sql:
    names = list(tags)
    for tag in names:
        batch.update(TAG, fact, {"ticket_id": fact.stream, "tag": tag}, removed=True)
    return Sql(_WITHOUT, names)


def _link(batch: Batch, fact: Fact, articles: Iterable[UUID]) -> None:
    for article in articles:
        batch.save(ARTICLE, fact, ticket_id=fact.stream, article_id=article)


def _unlink(batch: Batch, fact: Fact, articles: Iterable[UUID]) -> None:
    for article in articles:
        batch.update(ARTICLE, fact, {"ticket_id": fact.stream, "article_id": article}, removed=True)


def _standings(batch: Batch, facts: Sequence[Fact]) -> dict[tuple[UUID, UUID], Standing]:
    if not facts:
        return {}
    rows = batch.select(
        _SELECT_STANDINGS, workspaces=list({fact.workspace for fact in facts}),
        tickets=list({fact.stream for fact in facts}),
    )  # fmt: skip
    return {(workspace, ticket): Standing(*row) for workspace, ticket, *row in rows}


def _numbers(batch: Batch, workspaces: Iterable[UUID]) -> dict[UUID, int]:
    wanted = list(workspaces)
    return dict(batch.select(_SELECT_NUMBERS, workspaces=wanted)) if wanted else {}


_REOPENED: Final = {"resolved_at": None, "closed_at": None, "to_close_from": None}
_WITH: Final = "tags || ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (tags) ORDER BY i)"
_WITHOUT: Final = "ARRAY(SELECT t FROM unnest(tags) WITH ORDINALITY u (t, i) WHERE t <> ALL ({value}) ORDER BY i)"
_FIRST: Final = "least(first_responded_at, {value})"
_SELECT_STANDINGS: Final = """
SELECT workspace_id, id, standing, hold_reason, queue_id, assignee_id, priority, opened_at, sla_due_at,
       merged_into IS NOT NULL, intervals
FROM {schema}.ticket
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(tickets)s)
"""
_SELECT_NUMBERS: Final = """
SELECT w.id, (SELECT coalesce(max(t.number), 0) FROM {schema}.ticket t WHERE t.workspace_id = w.id)
FROM unnest(%(workspaces)s) AS w (id)
"""
