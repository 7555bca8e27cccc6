"""Who shares a batch. What batches do in the log is tested in test_concurrency.py."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from crm_es.eventstore import commit
from crm_es.eventstore.commit import Append, Committer, Verdict
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from tests.waiting import PATIENCE_SECONDS, eventually


def append() -> Append:
    command = Command(
        workspace=WorkspaceId(uuid4()),
        command_id=uuid4(),
        request_hash=b"",
        actor=Actor(kind=ActorKind.SYSTEM),
        correlation_id=uuid4(),
    )
    return Append(command=command)


class Log:
    """Writes when it is let, and remembers how many came at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.writing = threading.Event()
        self.may_write = threading.Event()

    def write(self, appends: Sequence[Append]) -> list[Verdict]:
        self.sizes.append(len(appends))
        self.writing.set()
        assert self.may_write.wait(PATIENCE_SECONDS)
        return [Verdict("OK")] * len(appends)


def test_what_comes_while_a_batch_is_written_goes_into_the_next_one_together() -> None:
    log = Log()
    committer = Committer(log.write)

    with ThreadPoolExecutor(8) as writers:
        first = writers.submit(committer.append_and_wait, append())
        assert log.writing.wait(PATIENCE_SECONDS)
        others = [writers.submit(committer.append_and_wait, append()) for _ in range(7)]
        eventually(lambda: committer.waiting == 7)
        log.may_write.set()
        answers = [one.result(PATIENCE_SECONDS) for one in (first, *others)]

    committer.close()
    assert log.sizes == [1, 7]
    assert {answer.status for answer in answers} == {"OK"}


def test_a_writer_whose_companions_stay_away_is_written_alone() -> None:
    log = Log()
    committer = Committer(log.write)
    log.may_write.set()
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda _: committer.append_and_wait(append()), range(200)))

    alone = threading.Thread(target=committer.append_and_wait, args=(append(),))
    alone.start()
    alone.join(PATIENCE_SECONDS)

    assert not alone.is_alive()
    committer.close()


def test_what_is_gathered_is_written_together(monkeypatch) -> None:
    monkeypatch.setattr(commit, "MOST_GATHERING", PATIENCE_SECONDS)
    log = Log()
    log.may_write.set()
    committer = Committer(log.write)

    with ThreadPoolExecutor(5) as writers:
        with committer.gathering():
            ours = [writers.submit(committer.append_and_wait, append()) for _ in range(5)]
            eventually(lambda: committer.waiting == 5)
        answers = [one.result(PATIENCE_SECONDS) for one in ours]

    committer.close()
    assert log.sizes == [5]
    assert {answer.status for answer in answers} == {"OK"}


def test_a_gathering_that_lasts_holds_nobody_up_for_ever() -> None:
    log = Log()
    log.may_write.set()
    committer = Committer(log.write)
    committer.append_and_wait(append())

    with committer.gathering(), ThreadPoolExecutor(1) as writers:
        answer = writers.submit(committer.append_and_wait, append()).result(PATIENCE_SECONDS)

    committer.close()
    assert answer.status == "OK"
