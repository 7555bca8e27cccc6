"""The tables of `service_queues`.

`standing` is the status a ticket has by itself, merged or not. `waiting_order` sorts what waits for work (SLA due time, then
priority, then age) and is empty for what does not. An interval is what held from `from_at` up to `to_at` in the world.
`to_close_from`: since when a ticket is resolved, unless by an import: what the days count from after which its queue closes it.
"""

from typing import LiteralString

from crm_es.projector.contract import Column, Index, Table

QUEUE = Table(
    name="queue",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="record_status", type="text", default="ACTIVE"),
        Column(name="name", type="text"),
        Column(name="name_folded", type="text", collate="C"),
        Column(name="reopen_days", type="integer"),
        Column(name="auto_close_days", type="integer", null=True),
        Column(name="archived_at", type="timestamptz", null=True),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    indexes=(Index(name="name", columns=("name_folded",), order=True),),
)
TICKET = Table(
    name="ticket",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="number", type="integer"),
        Column(name="title", type="text", personal=True),
        Column(name="status", type="text"),
        Column(name="standing", type="text"),
        Column(name="hold_reason", type="text", null=True),
        Column(name="priority", type="text"),
        Column(name="priority_rank", type="integer"),
        Column(name="type", type="text"),
        Column(name="tags", type="text[]", default=[]),
        Column(name="queue_id", type="uuid"),
        Column(name="assignee_id", type="uuid", null=True),
        Column(name="requester_id", type="uuid", null=True),
        Column(name="requester_means_id", type="uuid", null=True),
        Column(name="company_id", type="uuid", null=True),
        Column(name="merged_into", type="uuid", null=True),
        Column(name="follow_up_of_id", type="uuid", null=True),
        Column(name="split_from_id", type="uuid", null=True),
        Column(name="opened_at", type="timestamptz"),
        Column(name="first_responded_at", type="timestamptz", null=True),
        Column(name="resolved_at", type="timestamptz", null=True),
        Column(name="closed_at", type="timestamptz", null=True),
        Column(name="to_close_from", type="timestamptz", null=True),
        Column(name="resolution", type="text", personal=True),
        Column(name="satisfaction", type="integer", null=True),
        Column(name="satisfaction_comment", type="text", personal=True),
        Column(name="sla_policy_id", type="uuid", null=True),
        Column(name="sla_policy_version", type="integer", null=True),
        Column(name="sla_due_at", type="timestamptz", null=True),
        Column(name="breached", type="bool", default=False),
        Column(name="waiting_order", type="text", collate="C"),
        Column(name="intervals", type="integer", default=1),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    subject="requester_id",
    indexes=(
        Index(name="number", columns=("number",), order=True),
        Index(name="opened", columns=("opened_at",), order=True),
        Index(name="updated", columns=("updated_at",), order=True),
        Index(name="priority", columns=("priority_rank",), order=True),
        Index(name="due", columns=("sla_due_at",), order=True),
        Index(name="due_down", columns=("sla_due_at",), order=True, descending=True),
        Index(name="waiting", columns=("queue_id", "waiting_order"), order=True, where="waiting_order <> ''"),
        Index(name="status", columns=("queue_id", "status"), order=True),
        Index(name="queue", columns=("queue_id", "opened_at"), order=True),
        Index(name="assignee", columns=("assignee_id", "opened_at"), order=True, where="assignee_id IS NOT NULL"),
        Index(
            name="requester", columns=("requester_means_id", "opened_at"), order=True,
            where="requester_means_id IS NOT NULL",
        ),
        Index(name="company", columns=("company_id", "opened_at"), order=True, where="company_id IS NOT NULL"),
        Index(name="merged_into", columns=("merged_into",), where="merged_into IS NOT NULL"),
        Index(name="to_close", columns=("queue_id", "to_close_from"), where="to_close_from IS NOT NULL"),
    ),
)  # fmt: skip
INTERVAL = Table(
    name="ticket_interval",
    columns=(
        Column(name="ticket_id", type="uuid"),
        Column(name="number", type="integer"),
        Column(name="status", type="text"),
        Column(name="hold_reason", type="text", null=True),
        Column(name="queue_id", type="uuid"),
        Column(name="assignee_id", type="uuid", null=True),
        Column(name="from_at", type="timestamptz"),
        Column(name="to_at", type="timestamptz", null=True),
    ),
    key=("ticket_id", "number"),
    indexes=(
        Index(name="queue", columns=("queue_id", "from_at"), order=True),
        Index(name="assignee", columns=("assignee_id", "from_at"), order=True, where="assignee_id IS NOT NULL"),
    ),
)
TAG = Table(
    name="ticket_tag",
    columns=(
        Column(name="ticket_id", type="uuid"),
        Column(name="tag", type="text"),
        Column(name="tag_folded", type="text", collate="C"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("ticket_id", "tag"),
    indexes=(Index(name="tag", columns=("tag",)), Index(name="folded", columns=("tag_folded",))),
)


def _external_id(name: LiteralString, owner: LiteralString) -> Table:
    return Table(
        name=name,
        columns=(
            Column(name=owner, type="uuid"),
            Column(name="system", type="text"),
            Column(name="value", type="text"),
        ),
        key=(owner, "system", "value"),
        versioned=False,
        indexes=(Index(name="value", columns=("system", "value")),),
    )


EXTERNAL_ID = _external_id("ticket_external_id", "ticket_id")
QUEUE_EXTERNAL_ID = _external_id("queue_external_id", "queue_id")
ARTICLE = Table(
    name="ticket_article",
    columns=(
        Column(name="ticket_id", type="uuid"),
        Column(name="article_id", type="uuid"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("ticket_id", "article_id"),
    indexes=(Index(name="article", columns=("article_id",)),),
)
MEANING = Table(
    name="contact_meaning",
    columns=(Column(name="id", type="uuid"), Column(name="means_id", type="uuid")),
    versioned=False,
)
# One row a version; `policy_id` is their stream. `newest`: no later version was published.
POLICY = Table(
    name="sla_policy",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="policy_id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="newest", type="bool", default=True),
        Column(name="name", type="text"),
        Column(name="name_folded", type="text", collate="C"),
        Column(name="queue_ids", type="uuid[]"),
        Column(name="targets", type="jsonb"),
        Column(name="calendar", type="jsonb"),
        Column(name="paused_by", type="text[]"),
        Column(name="published_at", type="timestamptz"),
    ),
    indexes=(Index(name="name", columns=("name_folded", "version"), order=True),),
)
# A promise to the customer of a ticket, as `service/sla.py` keeps it. `to_record_at`: when the timer records its breach.
CLOCK = Table(
    name="ticket_clock",
    columns=(
        Column(name="ticket_id", type="uuid"),
        Column(name="number", type="integer"),
        Column(name="kind", type="text"),
        Column(name="cycle", type="integer"),
        Column(name="policy_id", type="uuid"),
        Column(name="target", type="integer", null=True),
        Column(name="spent", type="bigint"),
        Column(name="since", type="timestamptz", null=True),
        Column(name="paused_at", type="timestamptz", null=True),
        Column(name="due_at", type="timestamptz", null=True),
        Column(name="breached_at", type="timestamptz", null=True),
        Column(name="met_at", type="timestamptz", null=True),
        Column(name="recorded", type="bool"),
        Column(name="to_record_at", type="timestamptz", null=True),
    ),
    key=("ticket_id", "number"),
    indexes=(Index(name="to_record", columns=("to_record_at",), where="to_record_at IS NOT NULL"),),
)
# What else is to be known of a ticket to move its clocks on.
CLOCKS = Table(
    name="ticket_clocks",
    columns=(
        Column(name="ticket_id", type="uuid"),
        Column(name="at", type="timestamptz"),
        Column(name="status", type="text"),
        Column(name="hold_reason", type="text", null=True),
        Column(name="merged", type="bool"),
        Column(name="priority", type="text"),
        Column(name="policy_id", type="uuid", null=True),
        Column(name="answered", type="bool"),
        Column(name="waiting", type="bool"),
    ),
    key=("ticket_id",),
    versioned=False,
)
TABLES: tuple[Table, ...] = (
    QUEUE, QUEUE_EXTERNAL_ID, TICKET, INTERVAL, TAG, EXTERNAL_ID, ARTICLE, MEANING, POLICY, CLOCK, CLOCKS,
)  # fmt: skip
