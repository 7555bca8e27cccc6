"""`serve`: web processes and the projector, over the embedded database or one's own."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

import click

from crm_es.config import Settings, environment_of_children, environment_of_sealer
from crm_es.database.doors import current, keeping
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError
from crm_es.serving.projecting import check_read_models
from crm_es.serving.stopping import told_to_stop
from crm_es.serving.supervisor import Child, Supervisor

BACKLOG: Final = 2048
ASK_SECONDS: Final = 0.1


@click.command()
@click.option("--host", help="Address to listen on (CRM_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (CRM_PORT); 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Web processes (CRM_WORKERS).")
@click.option("--no-seal", is_flag=True, help="Leave sealing to a `crm-es seal` elsewhere, or to later.")
def serve(host: str | None, port: int | None, workers: int | None, no_seal: bool) -> None:
    """Serve GraphQL, feed the read models and seal the logs, until stopped.

    SIGTERM or Ctrl-C: no new requests, those begun are finished (CRM_SHUTDOWN_SECONDS), then the database it started stops.
    """
    settings = Settings.from_environment()
    with current(settings) as urls, listening(host or settings.host, settings.port if port is None else port) as door:
        serve_at(
            door,
            settings,
            urls,
            workers or settings.workers,
            lambda url: click.echo(f"{url}/graphql", err=True),
            seal=not no_seal,
        )


def serve_at(
    door: socket.socket, settings: Settings, urls: DatabaseUrls, workers: int, say: Callable[[str], None], *, seal: bool
) -> None:
    """Serve what comes to `door` until told to stop (SIGTERM, SIGINT); `say` the address once it answers.

    In production the sealer runs beside only where it was given a login of its own.
    """
    stop = told_to_stop()
    check_read_models(urls.app)
    children = [Child("the projector", ["crm_es.serving.projecting"], last=True)]
    for number in range(1, workers + 1):
        child = Child(f"web process {number}", ["crm_es.serving.web", str(door.fileno())], (door.fileno(),))
        children.append(child)
    if seal and urls.sealer:
        secrets = environment_of_sealer(settings, urls)
        children.append(Child("the sealer", ["crm_es.serving.sealing"], last=True, secrets=secrets))
    keep = keeping(settings)
    with telling(door, stop, say):
        told = environment_of_children(urls) | {"CRM_WORKERS": str(workers)}
        Supervisor(children, told, grace=settings.shutdown_seconds, tend=keep).run(stop)


@contextmanager
def telling(door: socket.socket, stop: threading.Event, say: Callable[[str], None]) -> Iterator[None]:
    """`say` the address of the door, once, when somebody answers there; if nobody ever does, they say why themselves."""
    over = threading.Event()

    def wait() -> None:
        while not (stop.is_set() or over.is_set()):
            if answers(address(door)):
                say(f"http://{address(door)}")
                return
            over.wait(ASK_SECONDS)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        over.set()
        waiting.join()


def answers(at: str) -> bool:
    connection = HTTPConnection(at, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def listening(host: str, port: int) -> socket.socket:
    """Raises: ConfigurationError."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(where[0]), port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ConfigurationError(
            f"CRM_HOST, CRM_PORT: cannot listen on {host}:{port} ({reason(exc)}). Choose another with --port."
        ) from exc


def reason(error: OSError) -> str:
    """What the system says; `create_server` repeats the address in its own words."""
    return (error.strerror or str(error)).partition(" (while")[0]


def address(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
