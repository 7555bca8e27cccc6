"""The enums of the service room, described for the schema."""

from crm_es.api.enums import describe
from crm_es.service.enums import HoldReason, Priority, SlaGroup, SlaKind, SlaState, TicketStatus, TicketType

describe(
    TicketStatus,
    "Where a ticket is in its life.",
    NEW="Nobody has begun with it.",
    OPEN="Somebody works on it, or should.",
    PENDING="The customer's answer is waited for.",
    ON_HOLD="Somebody else is waited for.",
    RESOLVED="Done, as we see it; the customer may still object.",
    CLOSED="Done for good, unless it is reopened in time.",
    MERGED="Absorbed by another ticket, which `mergedInto` names.",
)
describe(
    HoldReason,
    "Whom or what a ticket waits for.",
    CUSTOMER="The customer: the ticket is PENDING.",
    VENDOR="A supplier.",
    IMPLEMENTATION="A change that is being made.",
    OTHER="Anything else.",
)
describe(
    Priority,
    "How much it matters.",
    LOW="When there is time.",
    NORMAL="In its turn.",
    HIGH="Before others.",
    URGENT="Now.",
)
describe(
    TicketType,
    "What kind of help is asked for.",
    QUESTION="Something to be answered.",
    INCIDENT="Something that broke.",
    PROBLEM="The cause behind incidents.",
    REQUEST="Something to be done or given.",
)
describe(
    SlaKind,
    "Which promise a clock measures.",
    FIRST_RESPONSE="Until the first public reply.",
    NEXT_RESPONSE="Until we answer what the customer wrote since.",
    RESOLUTION="Until the ticket is resolved.",
)
describe(
    SlaState,
    "How a clock stands.",
    RUNNING="Time goes by.",
    PAUSED="Time stands still, as the policy says.",
    MET="Done in time.",
    BREACHED="Not done in time.",
)
describe(
    SlaGroup,
    "What a report counts by.",
    POLICY="By policy.",
    QUEUE="By queue.",
    MEMBER="By who had the ticket.",
)

__all__ = ["HoldReason", "Priority", "SlaGroup", "SlaKind", "SlaState", "TicketStatus", "TicketType"]
