"""The words of permission: what may be done, to what, how far. Who may is in `permissions.py`."""

from enum import StrEnum


class Action(StrEnum):
    READ = "READ"
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    ASSIGN = "ASSIGN"
    ARCHIVE = "ARCHIVE"
    MERGE = "MERGE"
    REVEAL = "REVEAL"
    EXPORT = "EXPORT"
    ERASE = "ERASE"
    AUDIT = "AUDIT"
    ADMINISTER = "ADMINISTER"


LOOKING = frozenset({Action.READ, Action.REVEAL, Action.EXPORT, Action.AUDIT})
"""What changes nothing: all there is to do with the past."""
PUT_AWAY = LOOKING | {Action.ARCHIVE, Action.ERASE}
"""What an archived record leaves to do; restoring it is its ARCHIVE."""
GONE = frozenset({Action.READ})
"""What is left of a record that was merged into another or erased."""


class Scope(StrEnum):
    OWN = "OWN"
    TEAM = "TEAM"
    WORKSPACE = "WORKSPACE"


class EntityType(StrEnum):
    CONTACT = "CONTACT"
    COMPANY = "COMPANY"
    INTERACTION = "INTERACTION"
    PRODUCT = "PRODUCT"
    DEAL = "DEAL"
    PIPELINE = "PIPELINE"
    TICKET = "TICKET"
    QUEUE = "QUEUE"
    ARTICLE = "ARTICLE"
    MEMBER = "MEMBER"
    EXPORT = "EXPORT"
    IMPORT = "IMPORT"
    REVERT = "REVERT"
    SUBJECT_REQUEST = "SUBJECT_REQUEST"
