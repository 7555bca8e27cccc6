"""Every aggregate and every event class there is. The composition root hands them to the store."""

from typing import Any, get_args

from crm_es.contacts.company import CompanyEvent
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactEvent
from crm_es.eventstore.aggregate import Aggregate
from crm_es.interactions.interaction import InteractionEvent
from crm_es.workspaces.api_key import ApiKeyEvent
from crm_es.workspaces.member import MemberEvent
from crm_es.workspaces.role import RoleEvent
from crm_es.workspaces.saved_view import SavedViewEvent
from crm_es.workspaces.team import TeamEvent
from crm_es.workspaces.workspace import WorkspaceEvent


def classes_of(union: Any) -> tuple[type[Any], ...]:
    """The members of a union alias; a single class is its own."""
    return get_args(union) or (union,)


EVENT_CLASSES = tuple(
    event
    for union in (
        WorkspaceEvent,
        MemberEvent,
        TeamEvent,
        RoleEvent,
        ApiKeyEvent,
        SavedViewEvent,
        ContactEvent,
        CompanyEvent,
        InteractionEvent,
    )
    for event in classes_of(union)
)

AGGREGATES: tuple[Aggregate[Any, Any], ...] = (CONTACT,)
