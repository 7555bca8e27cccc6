"""When `serve` says where it serves."""

import socket
import threading

from crm_es.commands.serve import address, listening, telling
from tests.waiting import PATIENCE_SECONDS


def answer(door: socket.socket, status: str) -> bytes:
    """Take one request as a web process would: its first line."""
    connection, _ = door.accept()
    with connection:
        asked = connection.recv(1000)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    return asked.partition(b"\r\n")[0]


def test_the_address_is_said_once_it_answers_and_not_before() -> None:
    said: list[str] = []
    told, stop = threading.Event(), threading.Event()

    def say(url: str) -> None:
        said.append(url)
        told.set()

    with listening("127.0.0.1", 0) as door, telling(door, stop, say):
        asked = answer(door, "503 Service Unavailable")
        before = list(said)
        answer(door, "200 OK")
        assert told.wait(PATIENCE_SECONDS)
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
