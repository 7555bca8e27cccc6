"""What the wider GraphQL world says of us: audits and clients nobody here wrote."""

import asyncio
import json

import pytest

from crm_es.workspaces import team
from tests.api.served import need_node, node, served

pytestmark = [pytest.mark.anyio, pytest.mark.node]


@pytest.fixture(autouse=True)
def installed():
    need_node()


async def test_every_audit_of_graphql_over_http_is_ok(api):
    async with served(api.app) as address:
        status, printed = await node("node", "audit.mjs", f"http://{address}/graphql", "admin")

    assert (status, printed.split()[-1]) == (0, "ok"), printed
    assert "61 of 61" in printed


async def test_urql_and_apollo_read_pages(api):
    async with served(api.app) as address:
        _, urql = await node("node", "urql.mjs", f"http://{address}/graphql", "admin")
        _, apollo = await node("node", "apollo.mjs", f"http://{address}/graphql", "admin")

    assert urql.strip() == "2", urql
    assert json.loads(apollo) == {"edges": 4, "members": 5}, apollo


@pytest.mark.parametrize("script", ["ws.mjs", "sse.mjs"])
async def test_a_subscription_tells_every_event_once_past_and_coming(api, script):
    scheme = "ws" if script == "ws.mjs" else "http"
    async with served(api.app) as address:
        listening = asyncio.create_task(
            node(
                "node",
                script,
                f"{scheme}://{address}/graphql",
                "auditor",
                'subscription { events(after: "0") { position } }',
                "25",
            )
        )
        for number in range(20):
            await api.begin(team.TEAM, team.create(f"Team {number}"))
            await asyncio.sleep(0.02)
        _, printed = await listening

    positions = [int(json.loads(line)["data"]["events"]["position"]) for line in printed.splitlines()]
    assert positions == list(range(1, 26))


async def test_a_stranger_and_a_wrong_document_are_told_so_over_websocket(api):
    async with served(api.app) as address:
        _, stranger = await node(
            "node", "ws.mjs", f"ws://{address}/graphql", "stranger", "subscription { changes { id } }", "1"
        )
        _, wrong = await node("node", "ws.mjs", f"ws://{address}/graphql", "admin", "subscription { nope }", "1")
        _, refused = await node(
            "node", "ws.mjs", f"ws://{address}/graphql", "sales", "subscription { events { id } }", "1"
        )

    assert json.loads(stranger)["closed"] == 4403
    assert json.loads(wrong)["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert json.loads(refused)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
