"""The closed sets of the service room. Plain: their words for the schema are in `vocabulary.py`."""

from enum import StrEnum


class TicketStatus(StrEnum):
    NEW = "NEW"
    OPEN = "OPEN"
    PENDING = "PENDING"
    ON_HOLD = "ON_HOLD"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"
    MERGED = "MERGED"


class HoldReason(StrEnum):
    CUSTOMER = "CUSTOMER"
    VENDOR = "VENDOR"
    IMPLEMENTATION = "IMPLEMENTATION"
    OTHER = "OTHER"


class Priority(StrEnum):
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    URGENT = "URGENT"


class TicketType(StrEnum):
    QUESTION = "QUESTION"
    INCIDENT = "INCIDENT"
    PROBLEM = "PROBLEM"
    REQUEST = "REQUEST"


class SlaKind(StrEnum):
    FIRST_RESPONSE = "FIRST_RESPONSE"
    NEXT_RESPONSE = "NEXT_RESPONSE"
    RESOLUTION = "RESOLUTION"


class SlaState(StrEnum):
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    MET = "MET"
    BREACHED = "BREACHED"


class SlaGroup(StrEnum):
    POLICY = "POLICY"
    QUEUE = "QUEUE"
    MEMBER = "MEMBER"
