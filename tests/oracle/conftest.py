from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from crm_es.eventstore.event import WorkspaceId
from crm_es.values import EmailAddress
from crm_es.workspaces import member, workspace
from tests.api.conftest import ROLES, api, identity, place  # noqa: F401  # fixtures
from tests.oracle.history import History


@pytest.fixture
async def histories(api):  # noqa: F811
    """`histories(seed, steps, …)`: random deeds in the workspace of `admin` and, among them, in a second one of `other`."""
    other = WorkspaceId(uuid4())
    api.known["other"] = identity(other, *ROLES["admin"])

    async def make(
        seed: int, steps: int, deeds: Sequence[Any] = (), kind: type[History] = History
    ) -> dict[str, History]:
        found = {who: kind(api, who, Random(seed + n), deeds) for n, who in enumerate(("admin", "other"))}
        await found["other"].begin(workspace.WORKSPACE, workspace.create(name="Other", time_zone="UTC"), id=other)
        invited = member.invite(name="Other", email=EmailAddress.parse("other@acme.test"), roles=("admin",))
        await found["other"].begin(member.MEMBER, invited, id=found["other"].member)
        for _ in range(steps // 10):
            await found["admin"].steps(9)
            await found["other"].steps(1)
        await api.projected()
        return found

    return make
