"""Contacts in the real log: unique values, merges and unmerges, redactions."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry, register, update
from crm_es.contacts.merging import merge
from crm_es.contacts.unmerging import unmerge, values_of
from crm_es.errors import AlreadyExistsError, VersionConflictError
from crm_es.eventstore.event import ERASED, Actor, ActorKind, Command
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionType
from crm_es.interactions.recording import record, redact
from crm_es.privacy.keystore import KeyStore
from crm_es.values import EmailAddress

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
async def store(shared_database, tmp_path, anyio_backend):  # noqa: ARG001  # the loop the store lives in
    keys = KeyStore.open(tmp_path / "keys.sqlite", secrets.token_bytes(32))
    opened = await Store.open(shared_database.app, AGGREGATES, keys)
    yield opened
    await opened.close()
    keys.close()


def command(workspace, **more):
    return Command(
        workspace=workspace,
        command_id=uuid4(),
        request_hash=b"asked",
        actor=Actor(kind=ActorKind.SYSTEM),
        correlation_id=uuid4(),
        **more,
    )


def email(address: str) -> EmailEntry:
    return EmailEntry(address=EmailAddress(address))


async def registered(store, workspace, name: str) -> UUID:
    form = ContactEdit(display_name=name, add_emails=[email(f"{name}@example.com")])
    outcome = await store.create(command(workspace), CONTACT, uuid4(), register(form))
    return outcome.ids[0]


async def edit(store, workspace, id_: UUID, *, expected_version: int | None = None, **form: object) -> None:
    await store.decide(
        command(workspace),
        CONTACT,
        id_,
        lambda contact: update(contact, ContactEdit(**form)),
        expected_version=expected_version,
    )


async def merged(store, workspace, survivor: UUID, absorbed: UUID) -> None:
    def decision(loaded):
        done = merge(loaded[survivor], loaded[absorbed])
        return {survivor: done.survivor, absorbed: done.absorbed}

    await store.transact(command(workspace, reason="one person"), [(CONTACT, survivor), (CONTACT, absorbed)], decision)


async def unmerged(
    store, workspace, survivor: UUID, absorbed: UUID, holders: Mapping[tuple[str, str], UUID] | None = None
) -> None:
    facts = await store.facts(workspace, survivor)

    def decision(loaded):
        done = unmerge(loaded[survivor], facts, loaded[absorbed], holders=holders)
        return {survivor: done.survivor, absorbed: done.absorbed}

    await store.transact(command(workspace, reason="two people"), [(CONTACT, survivor), (CONTACT, absorbed)], decision)


async def addresses(store, workspace, id_: UUID) -> set[str]:
    state = (await store.load(CONTACT, workspace, id_, follow=False)).state
    return {held.known.address for held in state.emails}


async def test_an_email_belongs_to_one_contact_whatever_its_case(store, workspace):
    anna = await registered(store, workspace, "anna")
    bea = await registered(store, workspace, "bea")

    with pytest.raises(AlreadyExistsError) as refusal:
        await edit(store, workspace, bea, add_emails=[email("ANNA@example.com")])

    assert (refusal.value.rule, refusal.value.holder) == ("email.taken", anna)


async def test_a_merge_moves_no_reservation_and_an_unmerge_those_it_hands_on(store, workspace):
    anna, bea = await registered(store, workspace, "anna"), await registered(store, workspace, "bea")
    await merged(store, workspace, anna, bea)
    assert await store.holder(workspace, "email", "bea@example.com") == bea

    await edit(store, workspace, bea, add_emails=[email("later@example.com")], job_title="Pilot")
    assert await store.holder(workspace, "email", "later@example.com") == anna
    await unmerged(store, workspace, anna, bea)

    assert await store.holder(workspace, "email", "later@example.com") == bea
    assert await addresses(store, workspace, anna) == {"anna@example.com"}
    assert await addresses(store, workspace, bea) == {"bea@example.com", "later@example.com"}
    assert (await store.load(CONTACT, workspace, bea)).state.job_title == "Pilot"
    assert (await store.load(CONTACT, workspace, anna)).state.job_title is None


async def test_an_adopted_email_removed_from_the_survivor_is_free(store, workspace):
    anna, bea = await registered(store, workspace, "anna"), await registered(store, workspace, "bea")
    await merged(store, workspace, anna, bea)

    await edit(store, workspace, anna, remove_emails=[EmailAddress("bea@example.com")])
    await edit(store, workspace, await registered(store, workspace, "carl"), add_emails=[email("bea@example.com")])
    await unmerged(store, workspace, anna, bea)

    assert await addresses(store, workspace, bea) == set()


async def test_values_to_come_back_are_asked_for_before(store, workspace):
    anna, bea = await registered(store, workspace, "anna"), await registered(store, workspace, "bea")
    await merged(store, workspace, anna, bea)
    loaded = await store.load(CONTACT, workspace, bea, follow=False)
    survivor = await store.load(CONTACT, workspace, anna)

    wanted = values_of(survivor, loaded, unmerge(survivor, await store.facts(workspace, anna), loaded))

    held = {("email", "anna@example.com"): anna, ("email", "bea@example.com"): bea}
    assert await store.holders(workspace, wanted) == held


async def test_edits_of_two_fields_both_stand_and_of_one_do_not(store, workspace):
    anna = await registered(store, workspace, "anna")
    await edit(store, workspace, anna, expected_version=1, job_title="Pilot", add_emails=[email("x@example.com")])

    await edit(store, workspace, anna, expected_version=1, source="fair", add_emails=[email("y@example.com")])
    with pytest.raises(VersionConflictError) as refusal:
        await edit(store, workspace, anna, expected_version=1, job_title="Captain")

    [conflict] = refusal.value.conflicts
    assert (conflict.field, conflict.base, conflict.mine, conflict.theirs) == ("jobTitle", None, "Captain", "Pilot")


async def test_a_redaction_leaves_the_remaining_text_and_nothing_else(store, workspace):
    anna = await registered(store, workspace, "anna")
    noted = record(
        type=InteractionType.NOTE,
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        channel="notes",
        external_id="1",
        body="Anna has a secret.",
        contact_ids=[anna],
    )
    note = (await store.create(command(workspace), INTERACTION, uuid4(), noted)).ids[0]

    await store.decide(command(workspace), INTERACTION, note, lambda state: redact(state, ["secret"]))

    first, second = await store.facts(workspace, note)
    assert first.event.body is ERASED
    assert (second.event.body, second.event.external_id) == ("Anna has a [redacted].", "1")
    state = (await store.load(INTERACTION, workspace, note)).state
    assert (state.body, state.external_id, state.erased) == ("Anna has a [redacted].", "1", False)
