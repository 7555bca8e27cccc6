"""A thread beside another ends with its block, and what failed in it is tried again."""

import logging
import threading

import psycopg

from crm_es.threads import beside, persist


def test_it_goes_on_as_long_as_the_block_and_is_waited_for():
    begun, ended = threading.Event(), []

    def run(stop):
        begun.set()
        stop.wait()
        ended.append(threading.current_thread().name)

    with beside(run, "crm-test"):
        begun.wait()
        assert not ended

    assert ended == ["crm-test"]


def test_what_fails_is_tried_again_and_said_and_what_is_told_to_stop_stops(caplog):
    stop, outcomes = threading.Event(), [psycopg.OperationalError("away"), KeyError("broken"), None]

    def attempt():
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome
        stop.set()

    persist(attempt, stop, name="it", back_off=0)

    assert outcomes == []
    assert [(record.levelno, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        (logging.WARNING, "it stopped, again in 0 s: OperationalError: away", False),
        (logging.ERROR, "it stopped, again in 0 s", True),
    ]
