"""Walks the printed schema: every place that takes an id, how to ask there, and what to select of the answer.

Nothing here names a field of the product, so what is added to the schema tomorrow is tried tomorrow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from crm_es.schema import text

SCHEMA = build_schema(text())
ROOTS = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}
LIST = "[]"
FILTERS = {name for name, type_ in SCHEMA.type_map.items() if "and" in getattr(type_, "fields", {})}
WORDS = {
    "address": "ada@example.com", "addresses": "ada@example.com", "email": "ada@example.com", "number": "+49 151 12345678",
    "currency": "EUR", "country": "DE", "domain": "acme.example", "domains": "acme.example", "scopes": "admin",
    "roles": "admin", "key": "role_of_ours", "roleKeys": "admin", "field": "displayName", "language": "en", "opens": "09:00",
    "closes": "17:00", "holidays": "DE",
}  # fmt: skip
SCALARS = {
    "String": "words", "Int": 1, "Float": 1.5, "Boolean": False, "DateTime": "2025-01-01T00:00:00Z", "Date": "2025-01-01",
    "Decimal": "1.00", "Position": "1", "UUID": "01966c4e-7b0f-7000-8000-000000000001", "JSON": {}, "Duration": "P1D",
    "TimeZone": "UTC",
}  # fmt: skip
KINDS = {
    "fromId": "Member", "toId": "Member", "ownerId": "Member", "managerId": "Member", "parentId": "Company",
    "assigneeId": "Member", "requesterId": "Contact", "mergePreview": "Contact", "moveDealsTo": "Stage", "toStageId": "Stage",
}  # fmt: skip
"""Of ids whose name does not tell, nor that of the field they are asked for."""
ENVELOPE = {
    "commandId", "expectedVersion", "occurredAt", "allOrNone", "dealId", "ticketId", "companyId", "removeContactIds",
    "removeEmails", "removePhones", "removeIdentities", "removeExternalIds", "removeTags", "removeArticleIds",
    "contactExternalIds", "keep", "expectedAbsorbedVersion",
}  # fmt: skip
"""What a full input leaves out unless it is required: what would undo or forbid the rest of it."""
ALSO: dict[str, dict[str, Any]] = {
    "RegisterContactInput": {"displayName": "Ada"},
    "AssignTicketInput": {"assigneeId": None},
    "AsOf": {"position": "0"},
    "RevertTarget": {"commandId": SCALARS["UUID"]},
}
"""What an input needs besides the fields that the schema requires."""


@dataclass(frozen=True)
class Place:
    """Where an id goes: the fields down from the root, then the argument and the input fields in it."""

    kind: str
    path: tuple[str, ...]
    argument: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}.{'.'.join(self.path)}({'.'.join(self.argument)})"

    @property
    def fields(self) -> list[GraphQLField]:
        return list(_down(ROOTS[self.kind], self.path))

    @property
    def taken(self) -> GraphQLArgument:
        return self.fields[-1].args[self.argument[0]]


def _down(parent: Any, path: Sequence[str]) -> Iterator[GraphQLField]:
    for name in path:
        field = parent.fields[name]
        yield field
        parent = get_named_type(field.type)


def places(kind: str, wanted: str = "ID") -> list[Place]:
    """Every place below the root that takes a `wanted` scalar, nested fields included."""
    found, nested = [], set[tuple[str, str]]()
    for path in _paths(kind):
        *_, field = _down(ROOTS[kind], path)
        for name, argument in field.args.items():
            found += [Place(kind, path, (name, *rest)) for rest in _within(argument.type, wanted, nested)]
    return found


def _paths(kind: str) -> Iterator[tuple[str, ...]]:
    """The shortest path to every field of every object type; of mutations and subscriptions the root fields."""
    root = ROOTS[kind]
    queue, seen = [((), root)], {root.name}
    while queue:
        path, parent = queue.pop(0)
        for name, field in parent.fields.items():
            yield (*path, name)
            target = get_named_type(field.type)
            if kind == "query" and isinstance(target, GraphQLObjectType) and target.name not in seen:
                seen.add(target.name)
                queue.append(((*path, name), target))


def _within(type_: Any, wanted: str, nested: set[tuple[str, str]], above: str = "") -> Iterator[tuple[str, ...]]:
    """Paths into an input type that end at a `wanted`. Filters in filters are the same everywhere: each is tried once."""
    if isinstance(type_, GraphQLNonNull):
        yield from _within(type_.of_type, wanted, nested, above)
    elif isinstance(type_, GraphQLList):
        yield from ((LIST, *rest) for rest in _within(type_.of_type, wanted, nested, above))
    elif isinstance(type_, GraphQLInputObjectType):
        for name, field in type_.fields.items():
            inner = get_named_type(field.type).name
            if above.endswith("Filter") and inner.endswith("Filter") and inner in {above, type_.name}:
                continue
            if inner == type_.name:  # and, or, not: what stands in them is tried beside them
                yield from islice(((name, *rest) for rest in _within(field.type, wanted, set(nested), type_.name)), 1)
                continue
            if type_.name.endswith("Filter") and inner in FILTERS:
                if (type_.name, name) in nested:
                    continue
                nested.add((type_.name, name))
            yield from ((name, *rest) for rest in _within(field.type, wanted, nested, type_.name))
    elif type_.name == wanted:
        yield ()


class Enum(str):
    """The name of an enum's value: quoted among variables, bare in a document."""

    __slots__ = ()


class Asking:
    """Makes operations in a workspace whose own ids by type are `own`, and in all whose texts `word` stands."""

    def __init__(self, own: Mapping[str, str], word: str) -> None:
        self._own = own
        self._words = WORDS | {"text": word}

    def documents(self, place: Place, values: Sequence[Any], most: int = 10) -> Iterator[tuple[str, dict[str, Any]]]:
        """Operations that put each of the values there, several a document, with their variables."""
        for start in range(0, len(values), most):
            part = values[start : start + most]
            yield self._document(place, {f"v{start + n}": self.value(place, each) for n, each in enumerate(part)})

    def plain(self, kind: str, name: str) -> str:
        """The root field with no more than it requires."""
        field = ROOTS[kind].fields[name]
        target = get_named_type(field.type)
        chosen = "" if is_leaf_type(target) else f" {{ {selection(target)} }}"
        return f"{kind} {{ {name}{self._arguments(name, field)}{chosen} }}"

    def _document(self, place: Place, variables: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        target = get_named_type(place.fields[-1].type)
        heads = ", ".join(f"${name}: {place.taken.type}" for name in variables)
        calls = " ".join(f"{name}: {self._call(place, name)}" for name in variables)
        chosen = "" if is_leaf_type(target) else f" fragment S on {target.name} {{ {selection(target)} }}"
        return f"{place.kind} ({heads}) {{ {calls} }}{chosen}", variables

    def _call(self, place: Place, variable: str) -> str:
        *above, last = zip(place.path, place.fields, strict=True)
        opened = "".join(f"{name}{self._arguments(name, field)} {{ " for name, field in above)
        name, field = last
        inside = "" if is_leaf_type(get_named_type(field.type)) else " { ...S }"
        given = self._arguments(name, field, **{place.argument[0]: f"${variable}"})
        return f"{opened}{name}{given}{inside}{' }' * len(above)}"

    def _arguments(self, field_name: str, field: GraphQLField, **given: str) -> str:
        required = [(name, arg) for name, arg in field.args.items() if is_required_argument(arg) and name not in given]
        if {"first", "last"} <= set(field.args) and not {"first", "last"} & set(given):
            given["last" if "before" in given else "first"] = "3"
        also = {"reason": "words"} if "input" in field.args else {}
        parts = [f"{name}: {literal(_with(self.sample(arg.type, name, field_name), also))}" for name, arg in required]
        parts += [f"{name}: {value}" for name, value in given.items()]
        return f"({', '.join(parts)})" if parts else ""

    def value(self, place: Place, put: Any) -> Any:
        """The argument's value with `put` in its place and all that is required around it."""
        made = self._put(place.taken.type, place.argument[1:], put, place.path[-1])
        return {"reason": "words"} | made if place.kind == "mutation" else made

    def _put(self, type_: Any, rest: tuple[str, ...], put: Any, field_name: str) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._put(type_.of_type, rest, put, field_name)
        if not rest:
            return put
        if rest[0] == LIST:
            return [self._put(type_.of_type, rest[1:], put, field_name)]
        around = self.sample(type_, rest[0], field_name)
        return around | {rest[0]: self._put(type_.fields[rest[0]].type, rest[1:], put, field_name)}

    def sample(self, type_: Any, name: str, field_name: str) -> Any:
        """Something acceptable."""
        if isinstance(type_, GraphQLNonNull):
            return self.sample(type_.of_type, name, field_name)
        if isinstance(type_, GraphQLList):
            return [self.sample(type_.of_type, name, field_name)]
        if isinstance(type_, GraphQLEnumType):
            return Enum(next(iter(type_.values)))
        if isinstance(type_, GraphQLInputObjectType):
            inner = {key: each for key, each in type_.fields.items() if is_required_input_field(each)}
            made = {key: self.sample(each.type, key, field_name) for key, each in inner.items()}
            return ALSO.get(type_.name, {}) | made
        if type_.name == "ID":
            return self.own(name, field_name)
        return self._words.get(name, SCALARS[type_.name]) if type_.name == "String" else SCALARS[type_.name]

    def full(self, type_: Any, texts: Mapping[str, str], name: str, field_name: str) -> Any:
        """The same with all that is optional too; strings by the name of their field."""
        if isinstance(type_, GraphQLNonNull):
            return self.full(type_.of_type, texts, name, field_name)
        if isinstance(type_, GraphQLList):
            item = self.full(type_.of_type, texts, name, field_name)
            return [{key: each for key, each in item.items() if key != "reason"} if isinstance(item, dict) else item]
        if isinstance(type_, GraphQLInputObjectType):
            given = {
                key: each for key, each in type_.fields.items() if key not in ENVELOPE or is_required_input_field(each)
            }
            return {key: self.full(each.type, texts, key, field_name) for key, each in given.items()}
        if type_.name == "String" and name in texts:
            return texts[name]
        return self.sample(type_, name, field_name)

    def own(self, name: str, field_name: str) -> str:
        """An id of our own for an argument: by its name (`contactId`), else by the field it is of (`updateContact`)."""
        for said in (KINDS.get(name, name), KINDS.get(field_name, field_name)):
            kinds = [kind for kind in self._own if kind.lower().removeprefix("saved") in said.lower()]
            if kinds:
                return self._own[max(kinds, key=len)]
        return self._own["Contact"]


def _with(value: Any, also: dict[str, Any]) -> Any:
    return also | value if isinstance(value, dict) else value


def literal(value: Any) -> str:
    if isinstance(value, Enum):
        return str.__str__(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return "null" if value is None else str(value).lower()


@cache
def selection(type_: GraphQLNamedType, depth: int = 1) -> str:
    """All that can be read without arguments, to a depth; of lists the nodes."""
    if isinstance(type_, GraphQLInterfaceType):
        return _any(type_, depth)
    parts = ["__typename"]
    for name, field in type_.fields.items():
        target = get_named_type(field.type)
        if any(is_required_argument(arg) for arg in field.args.values()) or target is SCHEMA.query_type:
            continue
        if is_leaf_type(target):
            parts.append(name)
        elif name == "nodes" or (depth and name not in {"edges", "pageInfo"}):
            below = depth if name == "nodes" else 0 if target.name.endswith("Connection") else depth - 1
            parts.append(f"{name} {{ {selection(target, below)} }}")
    return " ".join(parts)


def _any(type_: GraphQLInterfaceType, depth: int) -> str:
    """The interface's own fields, then of each type those leaves that no other has under the same name."""
    parts, known = ["__typename"], {}
    for possible in (type_, *SCHEMA.get_possible_types(type_)):
        leaves = []
        for name, field in possible.fields.items():
            plain = is_leaf_type(get_named_type(field.type)) and not any(map(is_required_argument, field.args.values()))
            if plain and name not in known:
                known[name] = field.type
                leaves.append(name)
        if leaves:
            parts.append(" ".join(leaves) if possible is type_ else f"... on {possible.name} {{ {' '.join(leaves)} }}")
    if depth and "userErrors" in type_.fields:
        parts.append("userErrors { code rule field message }")
    return " ".join(parts)
