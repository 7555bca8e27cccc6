"""When `serve` says where it serves."""

import socket
import threading
from contextlib import suppress

from crm_es.commands.serve import address, listening, telling
from tests.waiting import eventually


def answer(door: socket.socket, status: str) -> bytes:
    """Take one request as a web process would: its first line."""
    asked, (connection, _) = b"", door.accept()
    with connection, suppress(ConnectionError):
        asked = connection.recv(1000)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    return asked.partition(b"\r\n")[0]


def asks_again(door: socket.socket) -> None:
    """Whoever asked before may have given up waiting for the answer."""
    door.settimeout(1)
    with suppress(TimeoutError):
        answer(door, "200 OK")


def test_the_address_is_said_once_it_answers_and_not_before() -> None:
    said: list[str] = []
    told, stop = threading.Event(), threading.Event()

    def say(url: str) -> None:
        said.append(url)
        told.set()

    with listening("127.0.0.1", 0) as door, telling(door, stop, say):
        asked = answer(door, "503 Service Unavailable")
        before = list(said)
        eventually(lambda: told.wait(0.1) or asks_again(door))
        url = f"http://{address(door)}"

    assert asked == b"GET /healthz HTTP/1.1"
    assert (before, said) == ([], [url])


def test_who_is_stopped_before_it_answers_says_nothing() -> None:
    said: list[str] = []
    stop = threading.Event()

    with listening("127.0.0.1", 0) as door, telling(door, stop, said.append):
        answer(door, "503 Service Unavailable")
        stop.set()

    assert said == []
