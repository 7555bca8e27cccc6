"""A whole import taken back: lists, counts, sums and search are as before it but for what was edited since; importing again
records again."""

import subprocess
import sys
from contextlib import contextmanager
from itertools import islice

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.codec import Codec
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.runner import Projector
from crm_es.serving.reverting import Reverter
from projections import READ_MODELS
from tests.gate import held
from tests.imports.office import EXAMPLES
from tests.imports.proving import prove_all
from tests.waiting import eventually, soon

pytestmark = pytest.mark.anyio
MAPPING = EXAMPLES / "cdnow.toml"
LISTS = """{
  contacts { totalCount nodes { id displayName interactionCount lastInteractionAt } }
  interactions { totalCount summary { count amount { amount currency } quantity } nodes { id } }
  search(text: "Customer 0") { nodes { id label } }
  duplicates { totalCount }
}"""
RUN = "{ imports { nodes { commandId status } } }"
REVERT = """mutation($input: RevertCommandInput!) { revertCommand(input: $input) {
  reverted { type } skipped { event { type entity { id } } blockedBy { type } message } job { id }
  userErrors { message rule } } }"""
JOB = """query($id: ID!) { node(id: $id) { ... on Revert { status error reverted progress { done total rejected }
  skipped { event { type entity { id } } blockedBy { type } } } } }"""
TITLE = (
    """mutation($input: UpdateContactInput!) { updateContact(input: $input) { projected userErrors { message } } }"""
)
REGISTER = """mutation($input: RegisterContactInput!) {
  registerContact(input: $input) { contact { id } userErrors { message } } }"""
RECORD = """mutation($input: RecordInteractionInput!) {
  recordInteraction(input: $input) { interaction { id } userErrors { message } } }"""


@contextmanager
def projected(office):
    keys = KeyStore.open(office.settings.key_store_location, root_key(office.settings.root_key_file))
    try:
        with Projector(office.urls.projector, Codec(AGGREGATES, keys).decode_each, READ_MODELS, poll=0.05).running():
            yield keys
    finally:
        keys.close()


def slice_of(office, data, rows):
    with (data / "purchases" / "cdnow_sample.txt").open() as lines:
        return office.file("some.txt", "".join(islice(lines, rows)))


async def before(office):
    """A contact and a purchase that no import brought, and the lists they make."""
    ada = (await office.ask(REGISTER, input={"displayName": "Customer 0 herself"}))["registerContact"]["contact"]["id"]
    bought = {
        "type": "PURCHASE", "contactIds": [ada], "occurredAt": "1997-03-01T00:00:00Z", "quantity": "2",
        "amount": {"amount": "20.00", "currency": "USD"},
    }  # fmt: skip
    assert (await office.ask(RECORD, input=bought))["recordInteraction"]["userErrors"] == []
    await settled(office)
    return await office.ask(LISTS)


async def edited(office):
    """An imported contact that somebody gave a title."""
    found = await office.ask(
        '{ contacts(filter: {displayName: {startsWith: "Customer 00"}}, first: 2) { nodes { id } } }'
    )
    id_ = found["contacts"]["nodes"][0]["id"]
    assert (await office.ask(TITLE, input={"id": id_, "jobTitle": "Collector"}))["updateContact"]["userErrors"] == []
    return id_


async def settled(office):
    """All that was recorded is shown."""

    async def shown():
        return int((await office.ask("{ viewer { position } }"))["viewer"]["position"]) == office.events()

    await soon(shown)


async def check(office, file, revert):
    with projected(office) as keys:
        was = await before(office)
        first = await office.run(MAPPING, file)
        await settled(office)
        kept = await edited(office)
        (run,) = (await office.ask(RUN))["imports"]["nodes"]

        skipped = await revert({"target": {"commandId": run["commandId"]}, "reason": "The wrong file."}, keys)
        await settled(office)

        assert {(one["event"]["entity"]["id"], one["blockedBy"]["type"]) for one in skipped} == {
            (kept, "contact.updated")
        }
        now = await office.ask(LISTS)
        (stays,) = [one for one in now["contacts"]["nodes"] if one["id"] == kept]
        assert (stays["interactionCount"], stays["lastInteractionAt"]) == (0, None)
        assert [one for one in now["contacts"]["nodes"] if one["id"] != kept] == was["contacts"]["nodes"]
        assert now["contacts"]["totalCount"] == was["contacts"]["totalCount"] + 1
        assert now["interactions"] == was["interactions"]
        assert [one for one in now["search"]["nodes"] if one["id"] != kept] == was["search"]["nodes"]

        again = await office.run(MAPPING, file)
        once_more = await office.run(MAPPING, file)

    assert again.tally.recorded == first.tally.recorded - 1  # the contact that stayed is there
    assert once_more.tally.recorded == 0
    assert first.tally.rejected == again.tally.rejected == 0
    assert len((await office.ask(RUN))["imports"]["nodes"]) == 3
    prove_all(office)


async def test_a_small_import_is_taken_back_and_can_be_done_again(office, data):
    async def revert(sent, _keys):
        done = (await office.ask(REVERT, input=sent))["revertCommand"]
        assert (done["userErrors"], done["job"]) == ([], None)
        return done["skipped"]

    await check(office, slice_of(office, data, 60), revert)


def killed_at_work(office, when):
    """`crm-es project`, which carries reverts on, killed when the workspace is to get its event number `when`."""
    with (
        held(office.urls.owner, office.workspace, when) as reached,
        subprocess.Popen(
            [sys.executable, "-m", "crm_es", "project"], env=office.environment, cwd=office.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        eventually(reached)
        process.kill()


@pytest.mark.slow
async def test_all_of_cdnow_is_taken_back_by_a_job_that_was_killed_and_can_be_done_again(office, data):
    async def revert(sent, keys):
        job = (await office.ask(REVERT, input=sent))["revertCommand"]["job"]["id"]
        killed_at_work(office, office.events() + 3_000)

        async def ended():
            found = (await office.ask(JOB, id=job))["node"]
            return found if found["status"] not in {"QUEUED", "RUNNING"} else None

        with Reverter(office.urls, keys, poll=0.05).running():
            found = await soon(ended)
        assert (found["status"], found["error"]) == ("DONE", None)
        assert found["progress"] == {"done": 2_357 + 6_919, "total": 2_357 + 6_919, "rejected": 1}
        assert found["reverted"] == 2_357 + 6_919 - 1
        return found["skipped"]

    await check(office, data / "purchases" / "cdnow_sample.txt", revert)
