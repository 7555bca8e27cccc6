"""Every way to record something of queues and tickets."""

import strawberry

from crm_es.service.bulk_mutations import BulkTicketMutations
from crm_es.service.conversation_mutations import ConversationMutations
from crm_es.service.following_mutations import FollowingMutations
from crm_es.service.queue_mutations import QueueMutations
from crm_es.service.ticket_mutations import TicketMutations


@strawberry.type
class ServiceMutations(
    QueueMutations, TicketMutations, ConversationMutations, BulkTicketMutations, FollowingMutations
): ...
