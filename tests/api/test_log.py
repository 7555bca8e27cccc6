"""The signed log over HTTP and GraphQL: what an outside reader fetches, proves, and may not see."""

from base64 import b64decode
from contextlib import contextmanager

import psycopg
import pytest

from crm_es.config import LOCAL_ORIGIN
from crm_es.ledger.checkpoint import parse_vkey, verify
from crm_es.ledger.merkle import leaf_hash
from crm_es.serving.sealing import sealing
from crm_es.workspaces import team
from tests.ledger.rfc6962 import consistent, included, mth

pytestmark = pytest.mark.anyio
ORIGIN = LOCAL_ORIGIN
LOG = """
query($position: Position!, $size: Position, $from: Position!, $to: Position) { log { origin publicKey size
  checkpoint { size rootHash signedAt note }
  inclusionProof(position: $position, treeSize: $size) {
    position treeSize leafHash hashes checkpoint { size rootHash note } }
  consistencyProof(from: $from, to: $to) { from to hashes } } }
"""
EVENT = """
query($position: Position!, $size: Position) { event(position: $position) {
  type proof(treeSize: $size) { treeSize hashes leafHash } } }
"""


@pytest.fixture
def seal(place):
    """Seal all there is."""
    return sealing(place.settings, place.urls.sealer).drain


async def states(api):
    async with api.engine.connections.snapshot(api.workspace) as snapshot:
        rows = await snapshot.fetch(b"SELECT state FROM es.events ORDER BY sequence")
    return [bytes(row[0]) for row in rows]


async def test_what_graphql_says_of_the_log_is_proved(api, seal):
    seal()
    before = len(await states(api))
    for number in range(3):
        await api.begin(team.TEAM, team.create(f"Team {number}"))
    seal()
    entries = await states(api)
    await api.projected()

    log = (await api.ask(LOG, who="auditor", position="2", **{"from": str(before)}))["log"]

    assert log["origin"] == f"{ORIGIN}/log/{api.workspace}"
    _, public = parse_vkey(log["publicKey"])
    signed = verify(log["checkpoint"]["note"], origin=log["origin"], public=public)
    assert int(log["size"]) == int(log["checkpoint"]["size"]) == signed.size == len(entries)
    assert b64decode(log["checkpoint"]["rootHash"]) == signed.root == mth(entries)
    proof = log["inclusionProof"]
    assert b64decode(proof["leafHash"]) == leaf_hash(entries[1])
    assert (proof["position"], proof["treeSize"], proof["checkpoint"]["note"]) == (
        "2", str(len(entries)), log["checkpoint"]["note"],
    )  # fmt: skip
    assert included(leaf_hash(entries[1]), 1, len(entries), [b64decode(one) for one in proof["hashes"]], signed.root)
    grown = log["consistencyProof"]
    assert (grown["from"], grown["to"]) == (str(before), str(len(entries)))
    hashes = [b64decode(one) for one in grown["hashes"]]
    assert consistent(before, len(entries), mth(entries[:before]), signed.root, hashes)


async def test_a_proof_can_be_of_an_older_checkpoint(api, seal):
    seal()
    before = len(await states(api))
    await api.begin(team.TEAM, team.create("Later"))
    seal()
    await api.projected()

    variables = {"position": "1", "size": "1", "from": "1", "to": str(before)}
    log = (await api.ask(LOG, who="auditor", **variables))["log"]
    event = (await api.ask(EVENT, who="auditor", position="1", size=str(before + 1)))["event"]

    assert log["inclusionProof"]["treeSize"] == log["inclusionProof"]["checkpoint"]["size"] == str(before)
    assert log["consistencyProof"]["to"] == str(before)
    assert event["proof"]["treeSize"] == str(before + 1)
    assert int(log["size"]) == before + 1


async def test_what_is_not_signed_has_no_proof_yet(api, seal):
    assert (await api.ask(LOG, who="auditor", position="1", **{"from": "1"}))["log"] is None
    assert (await api.ask(EVENT, who="auditor", position="1"))["event"]["proof"] is None
    seal()
    beyond = str(1 + len(await states(api)))
    await api.begin(team.TEAM, team.create("New"))
    await api.projected()

    log = (await api.ask(LOG, who="auditor", position=beyond, **{"from": beyond}))["log"]

    assert log["inclusionProof"] is None
    assert log["consistencyProof"] is None
    assert (await api.ask(EVENT, who="auditor", position=beyond))["event"]["proof"] is None
    assert (await api.ask(EVENT, who="auditor", position="1", size=beyond))["event"]["proof"] is None


FLIP_EVENT = (
    "UPDATE es.events SET state = set_byte(state, 30, get_byte(state, 30) # 1)"
    " WHERE workspace_id = %(workspace)s AND sequence = 2"
)
FLIP_TILE = (
    "UPDATE ledger.tile SET hashes = set_byte(hashes, {at}, get_byte(hashes, {at}) # 1)"
    " WHERE workspace_id = %(workspace)s AND level = 0"
)


@contextmanager
def tampered(place, api, statement):
    """As a superuser, and back again: others use this database."""
    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement, {"workspace": api.workspace})
        yield
        connection.execute(statement, {"workspace": api.workspace})


@pytest.mark.parametrize("statement", [FLIP_EVENT, FLIP_TILE.format(at=32), FLIP_TILE.format(at=0)])
async def test_nothing_is_proved_of_what_is_not_what_was_signed(api, place, seal, statement):
    """A proof of other bytes than the event's would be a lie that its hashes do not tell."""
    seal()
    await api.projected()
    asked = {"position": "2", "from": "1"}

    with tampered(place, api, statement):
        log = (await api.post(LOG, who="auditor", variables=asked)).json()
        event = (await api.post(EVENT, who="auditor", variables={"position": "2"})).json()

    assert log["data"]["log"]["inclusionProof"] is None
    assert event["data"]["event"]["proof"] is None
    assert "is not what was signed" in event["errors"][0]["message"]
    assert event["errors"][0]["extensions"]["code"] == "INTERNAL"
    if statement != FLIP_EVENT:
        assert log["data"]["log"]["consistencyProof"] is None
    assert (await api.ask(LOG, who="auditor", **asked))["log"]["inclusionProof"]


async def test_the_log_is_for_auditors(api):
    body = (await api.post("{ log { size } }", who="sales")).json()

    assert body["data"] == {"log": None}
    assert [(error["path"], error["extensions"]["code"]) for error in body["errors"]] == [(["log"], "FORBIDDEN")]


async def test_an_events_proof_is_for_auditors(api, seal):
    seal()
    query = "query($id: ID!) { node(id: $id) { ... on Member { history(first: 1) { nodes { type proof { treeSize } } } } } }"
    member = api.id("Member", api.known["sales"].member_id)

    body = (await api.post(query, who="sales", variables={"id": member})).json()

    (event,) = body["data"]["node"]["history"]["nodes"]
    assert (event["type"], event["proof"]) == ("member.invited", None)
    assert [error["extensions"]["code"] for error in body["errors"]] == ["FORBIDDEN"]
    assert body["errors"][0]["path"][-1] == "proof"


async def test_anybody_fetches_checkpoint_and_tiles(api, seal):
    seal()
    entries = await states(api)
    size = len(entries)

    note = await api.http.get(f"/log/{api.workspace}/checkpoint")
    tile = await api.http.get(f"/log/{api.workspace}/tile/0/000.p/{size}")
    smaller = await api.http.get(f"/log/{api.workspace}/tile/0/000.p/1")

    assert note.text.startswith(f"{ORIGIN}/log/{api.workspace}\n{size}\n")
    assert note.headers["cache-control"] == "no-cache"
    assert tile.content == b"".join(leaf_hash(entry) for entry in entries)
    assert "immutable" in tile.headers["cache-control"]
    assert smaller.content == tile.content[:32]


@pytest.mark.parametrize(
    "path",
    [
        "", "checkpoints", "tile/0/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/0.p/1", "tile/0/x000/000.p/1",
        "tile/9/000", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/0", "1/checkpoint", "2/checkpoint", "02/checkpoint",
        "tile/0/000.p/01", "../checkpoint/x",
    ],
)  # fmt: skip
async def test_there_are_no_other_files(api, seal, path):
    seal()

    answer = await api.http.get(f"/log/{api.workspace}/{path}", headers={"authorization": "Bearer auditor"})

    assert answer.status_code == 404


async def test_entries_are_for_those_who_audit_this_workspace(api, seal):
    seal()
    entries = await states(api)
    path = f"/log/{api.workspace}/tile/entries/000.p/{len(entries)}"

    answers = {
        who: await api.http.get(path, headers={"authorization": f"Bearer {who}"} if who else {})
        for who in ("auditor", "sales", "nonsense", "")
    }
    other = await api.http.get(
        f"/log/{api.known['auditor'].actor.id}/tile/entries/000.p/1", headers={"authorization": "Bearer auditor"}
    )

    assert [answers[who].status_code for who in ("sales", "nonsense", "")] == [403, 401, 401]
    assert other.status_code == 403
    body, found = answers["auditor"].content, []
    while body:
        length = int.from_bytes(body[:2], "big")
        found.append(body[2 : 2 + length])
        body = body[2 + length :]
    assert found == entries
    assert answers["auditor"].headers["cache-control"].startswith("private")


async def test_the_log_of_logs_is_open_to_anybody(api, seal):
    seal()

    note = await api.http.get("/log/checkpoint")
    size = int(note.text.split("\n")[1])
    entries = await api.http.get(f"/log/tile/entries/000.p/{min(size, 255)}" if size < 256 else "/log/tile/entries/000")

    assert note.text.startswith(f"{ORIGIN}/log\n")
    assert entries.status_code == 200
    first = entries.content[2 : 2 + int.from_bytes(entries.content[:2], "big")]
    assert first.startswith(f"{ORIGIN}/log/".encode())
    assert "public" in entries.headers["cache-control"]


WHO_SAW = "query($id: ID!) { accessLog(filter: {nodeId: {eq: $id}}) { nodes { operation } } }"


async def test_who_fetched_entries_is_in_the_access_log_before_he_has_them(api, seal):
    seal()
    size = len(await states(api))
    path = f"/log/{api.workspace}/tile/entries/000.p/{size}"

    for who in ("sales", "auditor"):
        await api.http.get(path, headers={"authorization": f"Bearer {who}"})

    query = """{ accessLog { nodes { operation rows position allowed code actor { name } } } }"""
    told = (await api.ask(query, who="auditor"))["accessLog"]["nodes"]
    found = sorted(
        (each for each in told if each["operation"].startswith("tile/entries/")), key=lambda each: each["rows"]
    )
    assert [(each["actor"]["name"], each["allowed"], each["code"]) for each in found] == [
        ("Sales", False, "FORBIDDEN"),
        ("Auditor", True, None),
    ]
    assert (found[1]["rows"], found[1]["position"]) == (size, str(size))
    sales = api.id("Member", api.known["sales"].member_id)
    of_sales = await api.ask(WHO_SAW, who="auditor", id=sales)
    assert found[1]["operation"] in {each["operation"] for each in of_sales["accessLog"]["nodes"]}
