"""A workspace: one tenant, its name and the conventions its dates and amounts are read by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from crm_es.currencies import DIGITS
from crm_es.errors import InvalidInputError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import changes, values_set


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceCreated:
    """`week_starts_on` counts from 1 = Monday. A demo workspace is one for ever: its recorded times may be invented."""

    TOPIC: ClassVar[str] = "workspace.created"
    name: str
    time_zone: str = "UTC"
    currency: str = "USD"
    week_starts_on: int = 1
    demo: bool = changes(None, default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceUpdated:
    TOPIC: ClassVar[str] = "workspace.updated"
    name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    week_starts_on: int | UnsetType = UNSET


WorkspaceEvent = WorkspaceCreated | WorkspaceUpdated


_PLAIN: Final = ("name", "time_zone", "currency", "week_starts_on")


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    name: str = ""
    time_zone: str = "UTC"
    currency: str = "USD"
    week_starts_on: int = 1
    demo: bool = False


def evolve(workspace: Workspace | None, event: WorkspaceEvent) -> Workspace:
    """The state after one more event. Never raises on stored history."""
    was = workspace or Workspace()
    match event:
        case WorkspaceCreated():
            return replace(was, **values_set(event, (*_PLAIN, "demo")))
        case WorkspaceUpdated():
            return replace(was, **values_set(event, _PLAIN))
        case _:
            assert_never(event)


def create(
    *, name: str, time_zone: str = "UTC", currency: str = "USD", week_starts_on: int = 1, demo: bool = False
) -> list[WorkspaceEvent]:
    """Raises: InvalidInputError `workspace.unknown_time_zone`, `workspace.unknown_currency`, `workspace.no_weekday`."""
    _check(time_zone, currency, week_starts_on)
    return [
        WorkspaceCreated(name=name, time_zone=time_zone, currency=currency, week_starts_on=week_starts_on, demo=demo)
    ]


def update(
    workspace: Workspace,
    *,
    name: str | UnsetType = UNSET,
    time_zone: str | UnsetType = UNSET,
    currency: str | UnsetType = UNSET,
    week_starts_on: int | UnsetType = UNSET,
) -> list[WorkspaceEvent]:
    """Raises: as `create`."""
    asked = WorkspaceUpdated(name=name, time_zone=time_zone, currency=currency, week_starts_on=week_starts_on)
    after = evolve(workspace, asked)
    _check(after.time_zone, after.currency, after.week_starts_on)
    changed = {key: value for key, value in values_set(asked, _PLAIN).items() if value != getattr(workspace, key)}
    return [WorkspaceUpdated(**changed)] if changed else []


def _check(time_zone: str, currency: str, week_starts_on: int) -> None:
    try:
        ZoneInfo(time_zone)
    except (
        ValueError,
        OSError,
        KeyError,
    ) as exc:  # ZoneInfoNotFoundError is a KeyError; a folder of zones is an OSError
        message = "Write an IANA time zone such as Europe/Berlin."
        raise InvalidInputError(message, rule="workspace.unknown_time_zone", field=("timeZone",)) from exc
    if currency not in DIGITS:
        message = "Write an ISO 4217 currency code such as USD."
        raise InvalidInputError(message, rule="workspace.unknown_currency", field=("currency",))
    if not 1 <= week_starts_on <= 7:  # noqa: PLR2004  # days of a week
        message = "Write 1 for Monday to 7 for Sunday."
        raise InvalidInputError(message, rule="workspace.no_weekday", field=("weekStartsOn",))


def _fields(workspace: Workspace) -> Mapping[str, object]:
    return {
        "name": workspace.name,
        "timeZone": workspace.time_zone,
        "currency": workspace.currency,
        "weekStartsOn": workspace.week_starts_on,
    }


WORKSPACE: Aggregate[Workspace, WorkspaceEvent] = Aggregate(
    name="workspace",
    events=get_args(WorkspaceEvent),
    evolve=evolve,
    fields=_fields,
    subjects=no_subject,
)
