"""The pages opened most have plans: what a change takes from the compiled path is seen here, not in production."""

import pytest
from graphql import (
    FragmentDefinitionNode,
    GraphQLInputObjectType,
    GraphQLNonNull,
    OperationDefinitionNode,
    parse,
    type_from_ast,
)

from crm_es.reads.plan import Compiler
from crm_es.reads.sql import Slot, Viewer
from crm_es.schema import schema
from tests.api import contract

PLANNED = {
    "ContactTimelineOlder": "Contact", "ContactList": None, "MyHotLeads": None, "Board": None, "BoardColumnMore": "Stage",
    "DealPage": None, "Forecast": None, "Funnel": None, "QueuePage": None, "TicketPage": None, "TimeSlider": "Contact",
}  # fmt: skip
"""With the type of an id, where it is asked for as any node."""
CONTACT_PAGE = """query ContactPage($id: ID!, $asOf: AsOf) { contact(id: $id, asOf: $asOf) {
  id viewerCan emails { address } wonAmount { amount } openDealCount openTicketCount lastServiceContactAt
  deals(first: 5) { nodes { id stage { id } } totalCount summary { count } }
  timeline(first: 30) { totalCount edges {
    cursor node { __typename id occurredAt ...Said ...Became } } pageInfo { endCursor } } } }
  fragment Said on Interaction { preview member { name } contacts { id }
    participants { contact { id displayName } member { name } } }
  fragment Became on Milestone { kind entity { id label ... on Ticket { queue { name } } }
    actor { name member { id } apiKey { id } onBehalfOf { name } } }"""
NOW = Slot(lambda environment: environment.moment.viewer.now)


def planned(text):
    """Raises: NotCompilableError, which says why not."""
    document = parse(text)
    (operation,) = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    types = {
        each.variable.name.value: type_from_ast(schema._schema, each.type)
        for each in operation.variable_definitions or ()
    }
    given = {
        name: {} if isinstance(type_.of_type, GraphQLInputObjectType) else "x"
        for name, type_ in types.items()
        if isinstance(type_, GraphQLNonNull)
    }
    viewer = Viewer(workspace=NOW, member_id=NOW, now=NOW, time_zone=NOW)
    return Compiler(fragments, given, viewer).plan(schema._schema, operation)


@pytest.mark.parametrize("title", PLANNED)
def test_an_operation_has_a_plan(title):
    (root,) = planned(contract.possible()[title]).roots

    if PLANNED[title] is not None:  # planned when an id of the type first comes
        for past in (False, True):
            assert root.level._level(PLANNED[title], past=past)


def test_the_page_of_a_contact_has_a_plan():
    assert planned(CONTACT_PAGE).roots
