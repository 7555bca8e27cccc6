"""`serve` that is told to stop finishes what it has begun, says goodbye to listeners, and leaves nobody behind."""

import asyncio
import signal

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from crm_es.database.server import EmbeddedServer
from tests.commands.running import Serving
from tests.faults.installation import gone
from tests.faults.listening import subscribed
from tests.waiting import APPENDING, PATIENCE_SECONDS, soon, wanted

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
REGISTER = (
    'mutation { registerContact(input: {displayName: "Late"}) { contact { displayName } userErrors { message } } }'
)


async def test_a_begun_mutation_is_finished_and_listeners_are_told(installation):
    serving = Serving(installation.data_dir)  # beside the one that serves the other tests
    children, listening = serving.children(), "subscription { changes { id } }"

    with EmbeddedServer(installation.data_dir) as urls:
        async with installation.client() as client, subscribed(serving.url, installation.token, listening) as socket:
            with psycopg.connect(urls.owner) as blocking:
                blocking.execute("SELECT pg_advisory_xact_lock(%s)", [APPENDING])
                late = asyncio.create_task(client.post(serving.url, json={"query": REGISTER}))
                await soon(lambda: wanted(blocking))
                serving.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(1)
                assert not late.done()
            answer = await asyncio.wait_for(late, PATIENCE_SECONDS)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)

    assert answer.json()["data"]["registerContact"]["contact"] == {"displayName": "Late"}
    assert closed.value.rcvd
    assert closed.value.rcvd.code in {1001, 1012}
    assert await asyncio.to_thread(serving.process.wait, PATIENCE_SECONDS) == 0
    assert gone(children)
