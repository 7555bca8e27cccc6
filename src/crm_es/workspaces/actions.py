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
    SUBJECT_REQUEST = "SUBJECT_REQUEST"
