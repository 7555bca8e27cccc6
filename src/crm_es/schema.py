"""The whole schema: the rooms' queries, mutations and subscriptions under one roof, behind the gate.

`schema.graphql` is what `text()` prints: `crm-es schema` writes it, and a test compares the two.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import strawberry
from strawberry import ID

from crm_es.api import finding, ids, problems
from crm_es.api.enums import Action, EntityType
from crm_es.api.execution import CrmSchema
from crm_es.api.nodes import AsOf, Entity, Node
from crm_es.api.rules import SIGNED_IN, Guard, Rule, guarded, needs
from crm_es.contacts.bulk_mutations import BulkContactMutations
from crm_es.contacts.company_graphql import Company, CompanyQueries
from crm_es.contacts.company_mutations import CompanyMutations
from crm_es.contacts.duplicates_graphql import DuplicateQueries, find_duplicate
from crm_es.contacts.graphql import Contact, ContactQueries
from crm_es.contacts.merging_mutations import MergingMutations
from crm_es.contacts.mutations import ContactMutations
from crm_es.context import Info
from crm_es.interactions.graphql import Interaction, InteractionQueries
from crm_es.interactions.milestones import Milestone
from crm_es.interactions.mutations import InteractionMutations
from crm_es.reads.declare import connection, lookup
from crm_es.reads.model import Anything
from crm_es.sales.bulk_mutations import BulkDealMutations
from crm_es.sales.graphql import Deal, Pipeline, Product, SalesQueries, Stage
from crm_es.sales.mutations import DealMutations
from crm_es.sales.pipeline_mutations import PipelineMutations
from crm_es.sales.product_mutations import ProductMutations
from crm_es.service.article_graphql import Article, ArticleQueries
from crm_es.service.article_mutations import ArticleMutations
from crm_es.service.mutations import ServiceMutations
from crm_es.service.queue_graphql import Queue, QueueQueries
from crm_es.service.sla_graphql import SlaPolicy, sla_policies
from crm_es.service.sla_mutations import SlaMutations
from crm_es.service.sla_report import SlaReportRow, sla_report
from crm_es.service.ticket_graphql import Ticket, TicketQueries
from crm_es.service.workload import AgentLoad, workload
from crm_es.workspaces import access_graphql as access
from crm_es.workspaces import audit, history
from crm_es.workspaces import changes as sync
from crm_es.workspaces import graphql as workspaces
from crm_es.workspaces import log as signed
from crm_es.workspaces import search as finder
from crm_es.workspaces.export_graphql import Export
from crm_es.workspaces.jobs import Import
from crm_es.workspaces.mutations import WorkspaceMutations
from crm_es.workspaces.revert_mutations import Revert

PROBLEMS = (problems.InvalidInput, problems.Refusal, problems.AlreadyExists, problems.VersionConflict)
ADMINISTER = needs(EntityType.MEMBER, Action.ADMINISTER)
IMPORTS = needs(EntityType.IMPORT, Action.READ)
EXPORTS = needs(EntityType.EXPORT, Action.AUDIT)
AUDIT = needs(EntityType.CONTACT, Action.AUDIT)
finding.KINDS.add(
    workspaces.Member,
    workspaces.Team,
    workspaces.Workspace,
    workspaces.SavedView,
    Contact,
    Company,
    Interaction,
    Milestone,
    Product,
    Pipeline,
    Stage,
    Deal,
    Article,
    Queue,
    Ticket,
    SlaPolicy,
    Import,
    Revert,
    Export,
    ApiKey=workspaces.find_api_key,
    Role=workspaces.find_role,
    Access=access.find,
    Event=audit.find,
    Duplicate=find_duplicate,
    Change=sync.find,
)


async def _node(
    info: Info, id: Annotated[ID, strawberry.argument(description="Of a present or a past record.")]
) -> Node | None:
    found: Node | None = await finding.node(info.context, ids.decode(id, ("id",)))
    return found


async def _nodes(
    info: Info, ids_: Annotated[list[ID], strawberry.argument(name="ids", description="At most 1,000.")]
) -> list[Node | None]:
    return await finding.nodes(info.context, ids_)


async def _entity(
    info: Info,
    id: Annotated[ID, strawberry.argument(description="Its global id, present or past.")],
    as_of: Annotated[AsOf | None, strawberry.argument(description="As it was recorded then.")] = strawberry.UNSET,
) -> Entity | None:
    found: Entity | None = await finding.entity(info.context, ids.decode(id, ("id",)), as_of)
    return found


def _root(resolver: Any, rule: Rule, description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description, extensions=[Guard(rule)])


def _any(resolver: Any, types: Callable[[], Mapping[str, type[Any]]], description: str) -> Any:
    """The resolver answers where there is no plan."""
    made = _root(resolver, SIGNED_IN, description)
    made.metadata = {**made.metadata, "read": Anything(types=types)}
    return made


def _called(name: str, field: Any) -> Any:
    """A field whose name Python keeps for itself."""
    field.graphql_name = name
    return field


def _followed(resolver: Any, rule: Rule, description: str) -> Any:
    """Its resolver asks for the permission itself: extensions do not see a stream."""
    return strawberry.subscription(resolver=resolver, description=description, metadata={"rule": rule})


@strawberry.type(description="Where every reading begins. Fields that take `asOf` show what had been recorded by then.")
class Query(
    ContactQueries,
    DuplicateQueries,
    CompanyQueries,
    InteractionQueries,
    SalesQueries,
    QueueQueries,
    TicketQueries,
    ArticleQueries,
):
    viewer: workspaces.Viewer = _root(workspaces.viewer, SIGNED_IN, "You.")
    node: Node | None = _any(
        _node, lambda: finding.KINDS.read, "Anything by its id; null where there is nothing that you may see."
    )
    nodes: list[Node | None] = _root(_nodes, SIGNED_IN, "The same for several, in their order.")
    entity: Entity | None = _any(
        _entity, lambda: finding.KINDS.dated, "Any record as of any moment: history pages, time sliders."
    )
    member: workspaces.Member | None = lookup(lambda: workspaces.Member, "A member by id.")
    members = connection(
        lambda: workspaces.Member, filter=False, order=False, default=(("name_folded", "ASC"),),
        description="Everybody who works here, by name.",
    )  # fmt: skip
    teams: list[workspaces.Team] = _root(workspaces.teams, SIGNED_IN, "All teams, by name.")
    roles: list[workspaces.Role] = _root(workspaces.roles, SIGNED_IN, "All roles, by key.")
    api_keys: list[workspaces.ApiKey] | None = _root(workspaces.api_keys, ADMINISTER, "All API keys, oldest first.")
    saved_views: list[workspaces.SavedView] = _root(
        workspaces.saved_views, SIGNED_IN, "Your own saved views and those that are shared, by name."
    )
    access_log = access.sought(
        guarded(
            connection(
                lambda: access.Access, as_of=False, order=False, null=True, default=(("at", "DESC"),),
                description="Who read what, newest first. Reading it is written down too.",
            ),
            AUDIT,
        )
    )  # fmt: skip
    event: audit.Event | None = _root(audit.at_position, AUDIT, "The event at a position of the log.")
    events = guarded(
        connection(
            lambda: audit.Event, as_of=False, null=True,
            description="The audit trail: every event of the workspace, newest last unless ordered otherwise.",
        ),
        AUDIT,
    )  # fmt: skip
    log: signed.Log | None = _root(signed.log, AUDIT, "The signed log; null until something is signed.")
    diff: history.Diff | None = _root(
        history.diff,
        SIGNED_IN,
        "A record at two moments: both of it, the fields that differ, what happened in between.",
    )
    explain: history.Explanation | None = _root(history.explain, SIGNED_IN, "What set the value that stands.")
    import_: Import | None = guarded(
        _called("import", lookup(lambda: Import, "A file taken in.", as_of=False)), IMPORTS
    )
    imports = guarded(
        connection(
            lambda: Import, as_of=False, null=True, filter=False, order=False, default=(("started_at", "DESC"),),
            description="Files taken in, the newest first.",
        ),
        IMPORTS,
    )  # fmt: skip
    export: Export | None = guarded(lookup(lambda: Export, "What was asked to be sent out.", as_of=False), EXPORTS)
    exports = guarded(
        connection(
            lambda: Export, as_of=False, null=True, filter=False, order=False, default=(("requested_at", "DESC"),),
            description="What was asked to be sent out, the newest first.",
        ),
        EXPORTS,
    )  # fmt: skip
    sla_policies: list[SlaPolicy] = _root(sla_policies, SIGNED_IN, "The newest version of each SLA policy, by name.")
    workload: list[AgentLoad] = _root(
        workload, needs(EntityType.TICKET, Action.READ), "What members have to do across queues, the busiest first."
    )
    sla_report: list[SlaReportRow] = _root(
        sla_report,
        needs(EntityType.TICKET, Action.READ),
        "How promises were kept: those that were met or ran out in these days.",
    )
    search: finder.SearchConnection = _root(
        finder.search, SIGNED_IN, "Records by names, emails, phone digits or company, best first; at most 200."
    )
    changes: sync.ChangeConnection = _root(
        sync.changes_since,
        SIGNED_IN,
        "Every record changed since, once each, at its newest, gone ones too: for caches that sync.",
    )


@strawberry.type(description="What is told as it happens.")
class Subscription:
    events: audit.Event = _followed(
        sync.follow_events,
        AUDIT,
        "Events as they are projected, from now or after a position (then nothing is missed).",
    )
    changes: sync.Change = _followed(
        sync.follow_changes,
        SIGNED_IN,
        "For screens: these records, and all that are or just were in these containers. `after`: the query's "
        "extensions.position, so that nothing falls between. States in between may be skipped, the last one never.",
    )


@strawberry.type(description="Every way to record something.")
class Mutation(
    ContactMutations,
    BulkContactMutations,
    MergingMutations,
    CompanyMutations,
    ProductMutations,
    PipelineMutations,
    DealMutations,
    BulkDealMutations,
    InteractionMutations,
    ServiceMutations,
    ArticleMutations,
    SlaMutations,
    WorkspaceMutations,
): ...


def make() -> CrmSchema:
    return CrmSchema(Query, Mutation, Subscription, types=(*PROBLEMS, Milestone))


schema = make()


def text() -> str:
    """The schema in GraphQL's own language, as `schema.graphql` holds it."""
    return schema.as_str().rstrip("\n") + "\n"
