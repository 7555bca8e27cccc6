"""What the wider GraphQL world says of us: audits and clients nobody here wrote."""

import pytest

from tests.api.served import need_node, node, served

pytestmark = [pytest.mark.anyio, pytest.mark.node]


async def test_every_audit_of_graphql_over_http_is_ok(api):
    need_node()
    async with served(api.app) as address:
        status, printed = await node("node", "audit.mjs", f"http://{address}/graphql", "admin")

    assert (status, printed.split()[-1]) == (0, "ok"), printed
    assert "61 of 61" in printed
