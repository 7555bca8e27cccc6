"""Who may do what: the one table of the built-in roles, and what several roles permit together.

What is not permitted is denied. A workspace's own roles are records of the same permissions (`role.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from crm_es.errors import NotAllowedError
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.role import Permission

T, A = EntityType, Action

PARTIES: Final = (T.CONTACT, T.COMPANY, T.INTERACTION)
SALES: Final = (T.DEAL, T.PRODUCT, T.PIPELINE)
SERVICE: Final = (T.TICKET, T.QUEUE, T.ARTICLE)
RECORDS: Final = (*PARTIES, *SALES, *SERVICE)
EDIT: Final = (A.CREATE, A.UPDATE, A.ASSIGN, A.ARCHIVE)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInRole:
    name: str
    permissions: tuple[Permission, ...]


def role(name: str, *grants: Iterable[Permission]) -> BuiltInRole:
    return BuiltInRole(name=name, permissions=tuple(permission for grant in grants for permission in grant))


def may(
    actions: Iterable[Action],
    types: Iterable[EntityType],
    scope: Scope = Scope.WORKSPACE,
    *,
    fields: tuple[str, ...] | None = None,
) -> tuple[Permission, ...]:
    """Each action on each type. `fields` lists what may be seen of those that can be masked; None: all."""
    return tuple(Permission(type=t, action=a, scope=scope, fields=fields) for t in types for a in tuple(actions))


ROLES: Final[Mapping[str, BuiltInRole]] = {
    "admin": role(
        "Administrator",
        may(A, T),
    ),
    "manager": role(
        "Manager",
        may((A.READ, *EDIT, A.MERGE, A.REVEAL), RECORDS),
        may((A.READ,), (T.MEMBER,)),
        may((A.READ, A.CREATE, A.UPDATE), (T.IMPORT,)),
    ),
    "sales": role(
        "Sales",
        may((A.READ,), (*RECORDS, T.MEMBER)),
        may((*EDIT, A.MERGE), (*PARTIES, T.DEAL)),
        may((A.READ, A.CREATE), (T.IMPORT,)),
    ),
    "service": role(
        "Service",
        may((A.READ,), (*RECORDS, T.MEMBER)),
        may((*EDIT, A.MERGE), (*PARTIES, T.TICKET, T.ARTICLE)),
    ),
    "marketing": role(
        "Marketing",
        may((A.READ,), (*PARTIES, *SALES, T.ARTICLE, T.MEMBER)),
        may((A.CREATE, A.UPDATE, A.ASSIGN), (T.CONTACT, T.COMPANY)),
        may((A.CREATE,), (T.INTERACTION,)),
        may((A.READ, A.CREATE), (T.IMPORT,)),
    ),
    "auditor": role(
        "Auditor",
        may((A.READ, A.AUDIT), T),
    ),
    "privacy": role(
        "Privacy officer",
        may((A.READ, A.REVEAL), (*PARTIES, T.DEAL, T.TICKET, T.MEMBER)),
        may((A.ERASE,), (T.CONTACT, T.INTERACTION, T.MEMBER)),
        may((A.READ, A.CREATE, A.UPDATE, A.EXPORT), (T.SUBJECT_REQUEST,)),
    ),
    "integration": role(
        "Integration",
        may((A.READ, *EDIT), (*PARTIES, T.DEAL, T.TICKET, T.PRODUCT)),
        may((A.READ,), (T.PIPELINE, T.QUEUE, T.ARTICLE, T.MEMBER)),
        may((A.READ, A.CREATE), (T.IMPORT,)),
    ),
}

MASKABLE: Final[Mapping[EntityType, frozenset[str]]] = {
    T.CONTACT: frozenset(
        {
            "givenName",
            "familyName",
            "primaryEmail",
            "emails",
            "phones",
            "addresses",
            "identities",
            "externalIds",
            "jobTitle",
        }
    ),
    T.COMPANY: frozenset({"annualRevenue", "addresses", "externalIds"}),
    T.INTERACTION: frozenset({"subject", "preview", "body", "participants", "amount"}),
    T.PRODUCT: frozenset({"price", "externalIds"}),
    T.DEAL: frozenset({"amount", "weightedAmount", "lines", "lostReason", "externalIds"}),
    T.TICKET: frozenset({"title", "resolution", "satisfactionComment", "externalIds"}),
    T.MEMBER: frozenset({"email", "externalIds"}),
}
"""What a role may withhold, by its name in the API. All of these are nullable there; everything else is always shown."""

PLACES: Final[Mapping[EntityType, EntityType]] = {T.DEAL: T.PIPELINE, T.TICKET: T.QUEUE}
"""Whoever may read the first may read the second, all of it: no deal or ticket is shown without where it stands."""

WIDTH: Final = {Scope.OWN: 0, Scope.TEAM: 1, Scope.WORKSPACE: 2}


class Permissions:
    """What some roles permit together: the widest scope of each action, all the fields any of them shows."""

    __slots__ = ("__weakref__", "_granted", "_masked", "listed")

    def __init__(self, granted: Iterable[Permission]) -> None:
        self._granted: dict[tuple[EntityType, Action], Permission] = {}
        for permission in _with_places(granted):
            key = permission.type, permission.action
            mine = self._granted.get(key)
            self._granted[key] = permission if mine is None else _wider(mine, permission)
        self.listed = tuple(sorted(self._granted.values(), key=_order))
        self._masked = dict(self._withheld())

    @classmethod
    def of(cls, roles: Iterable[str], custom: Mapping[str, Iterable[Permission]] | None = None) -> "Permissions":
        """Of role keys. `custom` are the workspace's own; a built-in role keeps its meaning. An unknown key permits nothing."""
        own = custom or {}
        granted = (ROLES[key].permissions if key in ROLES else own.get(key, ()) for key in roles)
        return cls(permission for permissions in granted for permission in permissions)

    def scope(self, entity: EntityType, action: Action) -> Scope | None:
        """How far the action reaches; None: not allowed at all."""
        permission = self._granted.get((entity, action))
        return permission.scope if permission else None

    def require(self, entity: EntityType, action: Action) -> Scope:
        """Raises: NotAllowedError."""
        scope = self.scope(entity, action)
        if scope is None:
            raise NotAllowedError(f"You may not {action.value.lower()} a {entity.value.lower().replace('_', ' ')}.")
        return scope

    @property
    def write(self) -> bool:
        """Whether they permit anything but reading: an auditor leaves no trace in the log but the exports he asks for."""
        return any(action not in {Action.READ, Action.AUDIT} for _, action in self._granted)

    def masked(self, entity: EntityType) -> frozenset[str]:
        """Names, as in the API, of the fields of a readable record that are withheld."""
        return self._masked.get(entity, frozenset())

    def _withheld(self) -> Iterator[tuple[EntityType, frozenset[str]]]:
        for entity, maskable in MASKABLE.items():
            read = self._granted.get((entity, Action.READ))
            if read and read.fields is not None:
                yield entity, maskable.difference(read.fields)


def _with_places(granted: Iterable[Permission]) -> Iterator[Permission]:
    for permission in granted:
        yield permission
        if permission.action is Action.READ and permission.type in PLACES:
            yield from may((Action.READ,), (PLACES[permission.type],))


def _wider(mine: Permission, other: Permission) -> Permission:
    fields = None if mine.fields is None or other.fields is None else tuple(sorted({*mine.fields, *other.fields}))
    scope = max(mine.scope, other.scope, key=WIDTH.__getitem__)
    return Permission(type=mine.type, action=mine.action, scope=scope, fields=fields)


def _order(permission: Permission) -> tuple[int, int]:
    return list(EntityType).index(permission.type), list(Action).index(permission.action)
