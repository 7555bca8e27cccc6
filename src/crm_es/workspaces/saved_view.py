"""A saved view: a list's filter, order and columns under a name. Filters may hold names and addresses, so they are sealed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError, NotAllowedError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import Erased, changes, pii
from crm_es.workspaces.actions import EntityType


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedViewSaved:
    """The whole view. `filter` and `order_by` are JSON as text: what stands in them is the client's business."""

    TOPIC: ClassVar[str] = "saved_view.saved"
    name: str
    target: EntityType
    filter: str | Erased = pii()
    order_by: str | UnsetType | None = UNSET
    columns: tuple[str, ...] | UnsetType | None = UNSET
    shared: bool = False
    owner_id: UUID | None = changes("owner", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedViewRemoved:
    TOPIC: ClassVar[str] = "saved_view.removed"
    FIELDS: ClassVar[tuple[str, ...]] = ()


SavedViewEvent = SavedViewSaved | SavedViewRemoved


MOST_COLUMNS: Final = 200
_PLAIN: Final = ("name", "target", "filter", "order_by", "columns", "shared", "owner_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedView:
    name: str = ""
    target: EntityType = EntityType.CONTACT
    filter: str | Erased = "{}"
    order_by: str | None = None
    columns: tuple[str, ...] | None = None
    shared: bool = False
    owner_id: UUID | None = None
    removed: bool = False


def evolve(view: SavedView | None, event: SavedViewEvent) -> SavedView:
    """The state after one more event. Never raises on stored history, erased or not."""
    match event:
        case SavedViewSaved():
            values = {name: getattr(event, name) for name in _PLAIN}
            return SavedView(**{name: value for name, value in values.items() if value is not UNSET})
        case SavedViewRemoved():
            return replace(view or SavedView(), removed=True)
        case _:
            assert_never(event)


def save(
    view: SavedView | None,
    *,
    name: str,
    target: EntityType,
    filter: object,
    order_by: object = None,
    columns: Sequence[str] | None = None,
    shared: bool = False,
    by: UUID | None,
) -> list[SavedViewEvent]:
    """A new view (None) or a whole new shape of one's own; nothing where it is so already. `by` is the member who saves.

    Raises: InvalidInputError `saved_view.too_many_columns`; as `remove`.
    """
    if view is not None:
        _check_mine(view, by)
    if columns is not None and len(columns) > MOST_COLUMNS:
        message = f"A view has at most {MOST_COLUMNS} columns."
        raise InvalidInputError(message, rule="saved_view.too_many_columns", field=("columns",))
    event = SavedViewSaved(
        name=name,
        target=target,
        filter=_json(filter),
        order_by=UNSET if order_by is None else _json(order_by),
        columns=UNSET if columns is None else tuple(columns),
        shared=shared,
        owner_id=by if view is None else view.owner_id,
    )
    return [] if evolve(None, event) == view else [event]


def remove(view: SavedView, *, by: UUID | None) -> list[SavedViewEvent]:
    """Raises: NotAllowedError `saved_view.not_mine`; RuleViolatedError `saved_view.removed`."""
    _check_mine(view, by)
    return [SavedViewRemoved()]


def _check_mine(view: SavedView, by: UUID | None) -> None:
    if view.removed:
        raise RuleViolatedError("This view was removed.", rule="saved_view.removed")
    if view.owner_id != by:
        raise NotAllowedError("This view belongs to another member: save one of your own.", rule="saved_view.not_mine")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _fields(view: SavedView) -> Mapping[str, object]:
    return {
        "name": view.name,
        "target": view.target.value,
        "filter": None if isinstance(view.filter, Erased) else json.loads(view.filter),
        "orderBy": json.loads(view.order_by) if view.order_by else None,
        "columns": None if view.columns is None else list(view.columns),
        "shared": view.shared,
        "owner": Ref(type="Member", id=view.owner_id) if view.owner_id else None,
    }


SAVED_VIEW: Aggregate[SavedView, SavedViewEvent] = Aggregate(
    name="saved_view",
    events=get_args(SavedViewEvent),
    evolve=evolve,
    fields=_fields,
)
