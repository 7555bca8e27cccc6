"""One web process: `python -m crm_es.serving.web FD` serves on the listening socket it inherits."""

import gc
import socket
import sys
from time import monotonic

import psycopg
import uvicorn
from starlette.applications import Starlette

from crm_es.api.limits import BODY_BYTES
from crm_es.app import from_environment
from crm_es.config import Settings
from crm_es.errors import ConfigurationError
from crm_es.serving.lifeline import CANNOT_START, hold_on_to_parent

AGAIN = 1
KEEP_ALIVE_SECONDS = 75


def main(descriptor: int) -> int:
    """Exit codes: 0 was told to stop, AGAIN what failed may pass, CANNOT_START never."""
    hold_on_to_parent()
    try:
        settings = Settings.from_environment()
        server = ProcessServer(config(from_environment(), settings))
        server.run(sockets=[socket.socket(fileno=descriptor)])
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return CANNOT_START
    except psycopg.OperationalError as error:
        print(f"The database does not answer yet: {error}", file=sys.stderr)  # noqa: T201
        return AGAIN
    return 0 if server.started else AGAIN


class Server(uvicorn.Server):
    """Stops in order: nobody new; event streams end, which would go on until the grace is over; mutations that came over
    WebSockets are answered. uvicorn then closes the WebSockets, with 1012."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Starlette = self.config.app  # type: ignore[assignment]  # we give it no other
        for server in self.servers:
            server.close()
        app.state.http.closing.set()
        grace, began = self.config.timeout_graceful_shutdown, monotonic()
        await app.state.sockets.finished(grace)
        if grace is not None:
            self.config.timeout_graceful_shutdown = max(0, grace - round(monotonic() - began))
        await super().shutdown(sockets)


class ProcessServer(Server):
    """The one server of its process."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What was made until now lives as long as the process: the cycle collector need not walk it again and again, which
        took a quarter of the time of a large batch."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()


def config(app: Starlette, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=BODY_BYTES,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
