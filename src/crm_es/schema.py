"""The whole schema: the rooms' queries, mutations and subscriptions under one roof, behind the gate.

`schema.graphql` is what `text()` prints: `crm-es schema` writes it, and a test compares the two.
"""

import strawberry

from crm_es.api.execution import CrmSchema
from crm_es.api.rules import SIGNED_IN, Guard
from crm_es.workspaces import graphql as workspaces


@strawberry.type(description="Where every reading begins. Fields that take `asOf` show what had been recorded by then.")
class Query:
    viewer: workspaces.Viewer = strawberry.field(
        resolver=workspaces.viewer, description="You.", extensions=[Guard(SIGNED_IN)]
    )


def make() -> CrmSchema:
    return CrmSchema(Query, None, None)


schema = make()


def text() -> str:
    """The schema in GraphQL's own language, as `schema.graphql` holds it."""
    return schema.as_str().rstrip("\n") + "\n"
