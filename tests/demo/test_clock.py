"""Invented times: the owner's alone, and only in a workspace that is a demo for ever."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, register
from crm_es.errors import UnavailableError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Actor, ActorKind, Command
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.workspaces.workspace import WorkspaceCreated

pytestmark = pytest.mark.anyio
AT = datetime(2024, 2, 29, 12, tzinfo=UTC)
WORKSPACE = Aggregate(
    name="workspace",
    events=(WorkspaceCreated,),
    evolve=lambda _state, event: event,
    reservations=lambda _stream, _state: frozenset(),
    fields=lambda _state: {},
    touches=lambda _event: (),
    subjects=no_subject,
)


def command(workspace, at=None):
    return Command(
        workspace=workspace,
        command_id=uuid4(),
        request_hash=b"words",
        actor=Actor(kind=ActorKind.SYSTEM),
        correlation_id=uuid4(),
        recorded_at=at,
    )


@pytest.fixture
async def stores(shared_database, tmp_path, anyio_backend):  # noqa: ARG001  # the loop the stores live in
    keys = KeyStore.open(tmp_path / "keys.sqlite", secrets.token_bytes(32))
    opened = [Store(url, [WORKSPACE, CONTACT], keys) for url in (shared_database.owner, shared_database.app)]
    yield opened
    for store in opened:
        await store.close()
    keys.close()


async def found(store, workspace, *, demo, at=None):
    await store.create(command(workspace, at), WORKSPACE, workspace, [WorkspaceCreated(name="w", demo=demo)])


async def meet(store, workspace, at=None):
    id_ = uuid4()
    await store.create(command(workspace, at), CONTACT, id_, register(ContactEdit(display_name="Ada")))
    [fact] = await store.facts(workspace, id_)
    return fact.recorded_at


async def test_the_owner_sets_the_clock_of_a_demo_and_it_only_goes_forward(stores):
    owner, _ = stores
    workspace = uuid4()

    await found(owner, workspace, demo=True, at=AT)

    assert await meet(owner, workspace, AT + timedelta(days=1)) == AT + timedelta(days=1)
    assert await meet(owner, workspace, AT) > AT + timedelta(days=1)
    assert await meet(owner, workspace) > AT + timedelta(days=300)


async def test_nobody_sets_the_clock_of_a_workspace_that_is_no_demo(stores):
    owner, _ = stores
    workspace = uuid4()
    await found(owner, workspace, demo=False)

    with pytest.raises(UnavailableError, match="only in a demo workspace"):
        await meet(owner, workspace, AT)
    with pytest.raises(UnavailableError, match="only in a demo workspace"):
        await found(owner, uuid4(), demo=False, at=AT)
    with pytest.raises(UnavailableError, match="only in a demo workspace"):
        await meet(owner, uuid4(), AT)


async def test_the_application_sets_no_clock_even_in_a_demo(stores):
    owner, app = stores
    workspace = uuid4()
    await found(owner, workspace, demo=True, at=AT)

    with pytest.raises(UnavailableError, match="only the owner"):
        await meet(app, workspace, AT + timedelta(days=1))


async def test_a_second_founding_does_not_make_a_workspace_a_demo(stores):
    owner, _ = stores
    workspace = uuid4()
    await found(owner, workspace, demo=False)

    with pytest.raises(UnavailableError, match="only in a demo workspace"):
        await owner.create(
            replace(command(workspace), recorded_at=AT), WORKSPACE, uuid4(), [WorkspaceCreated(name="x", demo=True)]
        )
