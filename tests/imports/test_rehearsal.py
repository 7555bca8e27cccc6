"""A dry run's log: every verdict as the real one would give it, and nothing written."""

import secrets
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from crm_es.contacts.contact import archive, change_owner
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry, register
from crm_es.errors import AlreadyExistsError, CommandReusedError
from crm_es.eventstore.event import Actor, ActorKind, Command, ImportOrigin, Origin
from crm_es.eventstore.store import Store
from crm_es.imports.rehearsal import RehearsalKeys, RehearsalRecorder
from crm_es.privacy.key_rows import open_rows
from crm_es.privacy.keystore import KeyStore
from crm_es.values import EmailAddress, ExternalId, joint_key

pytestmark = pytest.mark.anyio


def command(workspace, command_id=None, words=b"words"):
    return Command(
        workspace=workspace,
        command_id=command_id or uuid4(),
        request_hash=words,
        actor=Actor(kind=ActorKind.SYSTEM),
        correlation_id=uuid4(),
    )


def person(email: str, external_id: str = "7"):
    return register(
        ContactEdit(
            display_name="Ada",
            add_emails=[EmailEntry(address=EmailAddress.parse(email))],
            add_external_ids=[ExternalId(system="crm", value=external_id)],
        )
    )


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
async def stores(shared_database, tmp_path, anyio_backend):  # noqa: ARG001  # the loop the stores live in
    """The real store and a rehearsal of the same log."""
    root, path = secrets.token_bytes(32), tmp_path / "keys.sqlite"
    keys = KeyStore.open(path, root)
    rehearsed = KeyStore(RehearsalKeys(open_rows(path)), root)
    real = await Store.open(shared_database.app, [CONTACT], keys)
    recorder = RehearsalRecorder(shared_database.app)
    rehearsal = Store(shared_database.app, [CONTACT], rehearsed, recorder=recorder)
    yield real, rehearsal
    for store, opened in ((real, keys), (rehearsal, rehearsed)):
        await store.close()
        opened.close()


def written(urls, workspace) -> int:
    with psycopg.connect(urls.owner) as connection:
        return connection.execute("SELECT count(*) FROM es.events WHERE workspace_id = %s", [workspace]).fetchone()[0]


async def test_what_was_rehearsed_is_read_back_and_never_written(stores, workspace, shared_database):
    real, rehearsal = stores
    known, new, owner = uuid4(), uuid4(), uuid4()
    await real.create(command(workspace), CONTACT, known, person("known@x.example", "1"))

    await rehearsal.create(command(workspace), CONTACT, new, person("new@x.example", "2"))
    await rehearsal.decide(command(workspace), CONTACT, known, lambda contact: change_owner(contact, owner))
    await rehearsal.decide(command(workspace), CONTACT, new, lambda contact: change_owner(contact, owner))

    loaded = await rehearsal.load_many(CONTACT, workspace, [known, new])
    assert [loaded[id_].state.owner_id for id_ in (known, new)] == [owner, owner]
    assert [loaded[id_].version for id_ in (known, new)] == [2, 2]
    assert await rehearsal.exists(workspace, CONTACT, [known, new]) == {known, new}
    assert await rehearsal.holder(workspace, "external_id", joint_key("contact", "crm", "2")) == new
    assert rehearsal.recorder.events == 3
    assert written(shared_database, workspace) == 1
    assert (await real.load(CONTACT, workspace, known)).state.owner_id is None


async def test_taken_values_are_refused_whether_real_or_rehearsed(stores, workspace):
    real, rehearsal = stores
    holder = uuid4()
    await real.create(command(workspace), CONTACT, holder, person("real@x.example", "1"))
    await rehearsal.create(command(workspace), CONTACT, uuid4(), person("rehearsed@x.example", "2"))

    for email, external_id in (("real@x.example", "3"), ("rehearsed@x.example", "4"), ("new@x.example", "2")):
        with pytest.raises(AlreadyExistsError):
            await rehearsal.create(command(workspace), CONTACT, uuid4(), person(email, external_id))

    await rehearsal.decide(command(workspace), CONTACT, holder, archive)
    await rehearsal.create(command(workspace), CONTACT, uuid4(), person("real@x.example", "1"))


async def test_a_batch_of_an_import_says_of_each_stream_which_row_it_came_from(stores, workspace):
    real, _ = stores
    run, one, other = uuid4(), uuid4(), uuid4()
    origin = Origin(client="crm-es import", import_=ImportOrigin(id=run, row=7, rows=(7, 9)))
    batch = replace(command(workspace), origin=origin)

    await real.create_many(batch, [(CONTACT, id_, register(ContactEdit(display_name="Ada"))) for id_ in (one, other)])

    facts = [fact for id_ in (one, other) for fact in await real.facts(workspace, id_)]
    assert [fact.origin.import_ for fact in facts] == [ImportOrigin(id=run, row=7), ImportOrigin(id=run, row=9)]


async def test_a_command_is_known_whether_real_or_rehearsed(stores, workspace):
    real, rehearsal = stores
    done, said, id_ = uuid4(), uuid4(), uuid4()
    await real.create(command(workspace, done), CONTACT, id_, person("real@x.example", "1"))

    replayed = await rehearsal.create(command(workspace, done), CONTACT, uuid4(), person("other@x.example", "2"))
    first = await rehearsal.create(command(workspace, said), CONTACT, uuid4(), person("new@x.example", "3"))
    again = await rehearsal.create(command(workspace, said), CONTACT, uuid4(), person("new@x.example", "3"))

    assert (replayed.replayed, replayed.ids) == (True, (id_,))
    assert (first.replayed, again.replayed, again.ids) == (False, True, first.ids)
    with pytest.raises(CommandReusedError):
        await rehearsal.create(command(workspace, said, b"other"), CONTACT, uuid4(), person("x@x.example", "4"))
