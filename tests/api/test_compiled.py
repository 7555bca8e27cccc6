"""CRM_COMPILED_READS changes no answer: random documents over the real schema, by several roles, now and in the past."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_required_argument,
)

from crm_es.api.http import GraphQLOverHTTP
from crm_es.schema import schema
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.role import Permission
from tests.api import small_company
from tests.api.conftest import Api, identity
from tests.api.timeless import timeless

pytestmark = pytest.mark.anyio

TYPES = schema._schema.type_map
DOCUMENTS = 150
DEPTH = 3
FILTERS = {
    "contacts": (
        '{displayName: {startsWith: "e"}}', "{recordStatus: {in: [ACTIVE, ARCHIVED, MERGED]}}", "{ownerId: {isMe: true}}",
        '{tag: {eq: "vip"}}', '{company: {name: {contains: "acm"}}}', "{not: {companyId: {isNull: true}}}",
        '{or: [{email: {contains: "example"}}, {lifecycleStage: {eq: LEAD}}]}',
        '{lastInteractionAt: {gt: "2025-05-01T00:00:00Z"}}', "{tickets: {some: {}, none: {status: {eq: OPEN}}}}",
    ),
    "companies": ('{name: {contains: "x"}}', "{employeeCount: {gte: 10}}"),
    "tickets": (
        "{status: {in: [OPEN, MERGED, PENDING]}}", "{assigneeId: {isNull: true}}", '{tag: {contains: "re"}}',
        "{number: {gt: 2}, breached: false}", "{not: {priority: {eq: LOW}}}",
    ),
    "interactions": ("{type: {in: [CALL, EMAIL]}}", '{occurredAt: {lt: "2025-06-01T00:00:00Z"}}'),
}  # fmt: skip


class Writer:
    """Documents out of the schema itself: whatever it offers is asked for sooner or later. Half of them leave out the fields
    that the compiler left to the generic executor before.
    """

    def __init__(self, random: Random, ids: dict[str, list[str]], newest: int) -> None:
        self.random = random
        self._ids = ids
        self._newest = newest
        self._known = Counter(schema.compiled.outcomes)
        self._avoided = Counter[str]()

    def document(self) -> str:
        self._avoided = schema.compiled.outcomes - self._known if self.random.random() < 0.5 else Counter()
        roots = self.random.sample(
            [
                "contacts",
                "companies",
                "interactions",
                "members",
                "contact",
                "company",
                "interaction",
                "tickets",
                "ticket",
                "queues",
                "queue",
            ],
            2,
        )
        query: GraphQLObjectType = TYPES["Query"]
        return "{ " + " ".join(self._field(name, query.fields[name], DEPTH) for name in roots) + " }"

    def _field(self, name: str, field: GraphQLField, depth: int, alias: str = "") -> str:
        given = ", ".join(self._arguments(name, field))
        return f"{alias}{name}{f'({given})' if given else ''}{self._selection(get_named_type(field.type), depth)}"

    def _arguments(self, name: str, field: GraphQLField) -> Iterator[str]:
        named = field.args
        if "id" in named:
            yield f'id: "{self.random.choice(self._ids[get_named_type(field.type).name])}"'
        if "first" in named:
            yield f"{self.random.choice(['first', 'last'])}: {self.random.randint(1, 4)}"
        if "asOf" in named and self.random.random() < 0.4:
            yield f'asOf: {{position: "{self.random.randint(0, self._newest)}"}}'
        if "filter" in named and name in FILTERS and self.random.random() < 0.5:
            yield f"filter: {self.random.choice(FILTERS[name])}"
        if "orderBy" in named and self.random.random() < 0.5:
            yield f"orderBy: [{{field: {self._order(field)}, direction: {self.random.choice(['ASC', 'DESC'])}}}]"

    def _order(self, field: GraphQLField) -> str:
        listed = get_nullable_type(field.args["orderBy"].type)
        assert isinstance(listed, GraphQLList)
        order = get_named_type(listed)
        assert isinstance(order, GraphQLInputObjectType)
        fields = get_named_type(order.fields["field"].type)
        assert isinstance(fields, GraphQLEnumType)
        return self.random.choice(sorted(fields.values))

    def _selection(self, type_: GraphQLNamedType, depth: int) -> str:
        if is_leaf_type(type_):
            return ""
        if isinstance(type_, GraphQLInterfaceType):
            return f" {{ __typename {' '.join([*self._fields(type_, 0), *self._fragments(type_, depth)])} }}"
        assert isinstance(type_, GraphQLObjectType), type_
        return f" {{ __typename {' '.join(self._fields(type_, depth))} }}"

    def _fragments(self, type_: GraphQLInterfaceType, depth: int) -> Iterator[str]:
        """On some of the types; answers of different types must not meet under one name."""
        types = sorted(each.name for each in schema._schema.get_possible_types(type_))
        for name in self.random.sample(types, min(len(types), self.random.randint(0, 3))):
            yield f"... on {name} {{ {' '.join(self._fields(TYPES[name], depth, f'{name.lower()}_'))} }}"

    def _fields(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int, prefix: str = "") -> list[str]:
        paging = type_.name.endswith(("Connection", "Edge"))  # no level of their own
        open_ = [
            (name, field)
            for name, field in type_.fields.items()
            if not any(is_required_argument(argument) for argument in field.args.values())
            and (depth > 0 or paging or is_leaf_type(get_named_type(field.type)))
            and f"{type_.name}.{name}" not in self._avoided
        ]
        chosen = self.random.sample(open_, min(len(open_), self.random.randint(1, 5)))
        return [
            self._field(name, field, depth if paging else depth - 1, f"{prefix}{name}: " if prefix else "")
            for name, field in chosen
        ]


def roles(api: Api) -> list[str]:
    """Those who see all, those who see some, and those from whom fields are withheld."""
    kinds = (EntityType.CONTACT, EntityType.COMPANY, EntityType.INTERACTION, EntityType.MEMBER, EntityType.TICKET)
    shown = {"own": (Scope.OWN, None), "team": (Scope.TEAM, None), "masked": (Scope.WORKSPACE, ("jobTitle",))}
    for name, (scope, fields) in shown.items():
        granted = [Permission(type=kind, action=Action.READ, scope=scope, fields=fields) for kind in kinds]
        known = identity(api.workspace, id=api.known["sales"].member_id)
        api.known[name] = replace(known, permissions=Permissions(granted))
    return ["admin", "auditor", "sales", "own", "team", "masked"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
async def test_compiled_and_generic_answers_are_equal(api, seed):
    ids, who = await small_company.found(api), roles(api)
    newest = int((await api.ask("{ viewer { position } }"))["viewer"]["position"])
    random = Random(seed)  # noqa: S311  # the same documents at every run
    writer = Writer(random, ids, newest)
    doors = {
        wanted: GraphQLOverHTTP(
            schema, replace(api.engine, settings=replace(api.engine.settings, compiled_reads=wanted))
        )
        for wanted in (False, True)
    }
    before, answered = schema.compiled.outcomes["compiled"], 0

    for _ in range(DOCUMENTS):
        document, actor, answers = writer.document(), random.choice(who), []
        for door in doors.values():
            api.app.state.http = door
            answers.append(timeless((await api.post(document, who=actor)).json()))
        if "errors" in answers[0]:  # how far it came is no part of a failure
            answers = [{**answer, "extensions": None} for answer in answers]
        assert answers[0] == answers[1], (actor, document, answers)
        assert "INTERNAL" not in str(answers[0].get("errors")), (actor, document)
        answered += "errors" not in answers[0]

    assert answered > DOCUMENTS / 2
    assert schema.compiled.outcomes["compiled"] - before > DOCUMENTS * 3 / 5, schema.compiled.outcomes
