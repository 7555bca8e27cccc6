"""Saving and removing views of lists."""

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Payload, Versioned, mutation, record
from crm_es.api.rules import PARENT, SIGNED_IN, permit, ruled
from crm_es.api.scalars import JSON
from crm_es.errors import InvalidInputError, NotAllowedError, NotFoundError
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id
from crm_es.values import parse_text
from crm_es.workspaces import saved_view
from crm_es.workspaces.graphql import SavedView, misfits
from crm_es.workspaces.member_mutations import SHOWS
from crm_es.workspaces.saved_view import SAVED_VIEW


@strawberry.input(
    description="A list's filter, order and columns under a name: a new view, or one of yours as it shall be."
)
class SaveViewInput(Versioned):
    id: ID | None = strawberry.field(default=UNSET, description="Which view of yours; a new one, if left out.")
    name: str = strawberry.field(description="What to call it.")
    target: EntityType = strawberry.field(description="Which list it is of.")
    filter: JSON = strawberry.field(description="The list's `filter`, as its variable takes it.")
    order_by: JSON | None = strawberry.field(
        default=UNSET, description="The list's `orderBy`, as its variable takes it."
    )
    columns: list[str] | None = strawberry.field(default=UNSET, description="Which columns to show.")
    shared: bool = strawberry.field(default=False, description="Whether everybody in the workspace sees it.")


@ruled(PARENT)
@strawberry.type(description="The view as it is now.")
class SaveViewPayload(Payload):
    view: SavedView | None = record(SavedView, "The view; null when refused.")


@strawberry.input(description="Take a view of yours away.")
class RemoveViewInput(Versioned):
    id: ID = strawberry.field(description="Which view.")


@ruled(PARENT)
@strawberry.type(description="What was removed.")
class RemoveViewPayload(Payload):
    removed_id: ID | None = strawberry.field(default=None, description="The view's id; null when refused.")


@strawberry.type
class ViewMutations:
    @mutation(
        SaveViewPayload, SIGNED_IN, shows=SHOWS,
        description="Keep a list's filter, order and columns. Only its owner changes a view.",
    )  # fmt: skip
    async def save_view(deed: Deed, input: SaveViewInput) -> Outcome:
        permit(deed.context, input.target, Action.READ)
        given = _parsed(input, deed.types) | {"by": _owner(deed)}
        if not input.id:
            return await deed.store.create(deed.command, SAVED_VIEW, new_id(), saved_view.save(None, **given))
        return await deed.store.decide(
            deed.command, SAVED_VIEW, deed.live(input.id, "SavedView"),
            lambda was: saved_view.save(_seen(was, given["by"]), **given), expected_version=deed.expected_version,
        )  # fmt: skip

    @mutation(RemoveViewPayload, SIGNED_IN, shows=SHOWS, description="Remove a view. Only its owner can.")
    async def remove_view(deed: Deed, input: RemoveViewInput) -> Answer:
        id_, by = deed.live(input.id, "SavedView"), _owner(deed)
        outcome = await deed.store.decide(
            deed.command, SAVED_VIEW, id_, lambda was: saved_view.remove(_seen(was, by), by=by),
            expected_version=deed.expected_version,
        )  # fmt: skip
        return Answer(outcome, {"removed_id": ID(ids.encode("SavedView", id_))})


def _owner(deed: Deed) -> Any:
    """Raises: NotAllowedError for programs (a view is a member's) and for those who only read."""
    if deed.context.identity.member_id is None:
        raise NotAllowedError("Views belong to members; an API key has none.", rule="saved_view.no_member")
    if not deed.context.permissions.write:
        raise NotAllowedError("Your roles let you read and nothing else.")
    return deed.context.identity.member_id


def _seen(view: saved_view.SavedView, by: Any) -> saved_view.SavedView:
    """Another member's own view is not there. Raises: NotFoundError."""
    if view.removed or (view.owner_id != by and not view.shared):
        raise NotFoundError("There is no such view.", field=("id",))
    return view


def _parsed(input: SaveViewInput, types: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(input.filter, dict):
        message = "A filter is an object, {} for everything."
        raise InvalidInputError(message, rule="saved_view.malformed_filter", field=("filter",))
    for field, message in misfits(types, input.target, input.filter, input.order_by or None):
        raise InvalidInputError(message, rule="saved_view.misfit", field=field)
    return {
        "name": parse_text(input.name, ("name",)),
        "target": input.target,
        "filter": input.filter,
        "order_by": input.order_by or None,
        "columns": input.columns or None,
        "shared": input.shared,
    }
