"""One web process: `python -m crm_es.serving.web FD` serves on the listening socket it inherits."""

import gc
import socket
import sys

import psycopg
import uvicorn
from starlette.applications import Starlette

from crm_es.api.limits import BODY_BYTES
from crm_es.app import from_environment
from crm_es.config import Settings
from crm_es.errors import ConfigurationError
from crm_es.serving.lifeline import hold_on_to_parent

AGAIN = 1
CANNOT_START = 3
KEEP_ALIVE_SECONDS = 75


def main(descriptor: int) -> int:
    """Exit codes: 0 was told to stop, AGAIN what failed may pass, CANNOT_START never."""
    hold_on_to_parent()
    try:
        settings = Settings.from_environment()
        server = Server(config(from_environment(), settings))
        server.run(sockets=[socket.socket(fileno=descriptor)])
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return CANNOT_START
    except psycopg.OperationalError as error:
        print(f"The database does not answer yet: {error}", file=sys.stderr)  # noqa: T201
        return AGAIN
    return 0 if server.started else AGAIN


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What was made until now lives as long as the process: the cycle collector need not walk it again and again, which
        took a quarter of the time of a large batch."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Event streams end first: they would go on until the grace is over. uvicorn closes WebSockets itself, with 1012."""
        app: Starlette = self.config.app  # type: ignore[assignment]  # we give it no other
        app.state.http.closing.set()
        await super().shutdown(sockets)


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
