"""Which SLA policy a ticket gets that enters a queue: the newest that names it, whether the read model shows it yet or not."""

from typing import Any, Final
from uuid import UUID

from psycopg.sql import SQL

from crm_es.api.payloads import Deed
from crm_es.service.sla_graphql import newest_policies
from crm_es.service.sla_policy import SLA_POLICY, SlaPolicyPublished
from projections.service_queues import NAME

_BEHIND: Final = SQL("""
SELECT es.newest_of_topics($1, b.log_id, es.newest_log_id()) IS NOT NULL FROM es.bookmark b WHERE b.read_model = $2
""")
_PUBLISHED: Final = SQL("""
SELECT e.originator_id
FROM es.events e
JOIN es.bookmark b ON b.read_model = $2
WHERE e.workspace_id = $1 AND e.topic = ANY ($3) AND e.notification_id > b.log_id
GROUP BY e.originator_id
ORDER BY max(e.sequence) DESC
LIMIT 1000
""")
_TOPICS: Final = [SlaPolicyPublished.TOPIC]


async def promised(deed: Deed, queue: UUID) -> dict[str, Any]:
    """`sla_policy_id` and `sla_policy_version`, as a ticket that enters the queue gets them."""
    unseen = await _published_since(deed)
    for policy, (version, queues) in unseen.items():
        if queue in queues:
            return {"sla_policy_id": policy, "sla_policy_version": version}
    shown = (await newest_policies(deed.context.reads.present, [queue], without=unseen.keys())).get(queue)
    return {"sla_policy_id": shown and shown[1], "sla_policy_version": shown and shown[2]}


async def _published_since(deed: Deed) -> dict[UUID, tuple[int, tuple[UUID, ...]]]:
    """(newest version, its queues) of each policy that was published and is not shown yet, the newest first."""
    snapshot, workspace = await deed.context.reads.snapshot(), deed.command.workspace
    if not any(behind for (behind,) in await snapshot.rows(_BEHIND, (_TOPICS, NAME))):
        return {}
    found = {}
    for (policy,) in await snapshot.rows(_PUBLISHED, (workspace, NAME, _TOPICS)):
        if loaded := await deed.store.load(SLA_POLICY, workspace, policy):
            found[policy] = loaded.state.version, loaded.state.queue_ids
    return found
