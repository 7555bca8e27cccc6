"""Who may have what sent out, and what becomes of it."""

from datetime import timedelta
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, NotAllowedError, RuleViolatedError
from crm_es.workspaces.export import (
    EXPORT,
    ExportApproved,
    ExportCancelled,
    ExportCompleted,
    ExportDenied,
    ExportDownloaded,
    ExportExpired,
    ExportFailed,
    ExportRequested,
    ExportScope,
    ExportStatus,
    Wanted,
    cancel,
    complete,
    decide,
    download,
    expire,
    fail,
    request,
)
from tests.deciding import NOON, given

ASKER, OTHER = UUID(int=1), UUID(int=2)
ALL = ExportRequested(purpose="audit 2026", scope=ExportScope.WORKSPACE, requester_id=ASKER, needs_approval=True)
ONE = ExportRequested(purpose="access request", scope=ExportScope.SUBJECT, id=OTHER, requester_id=ASKER)
MADE = {"manifest_sha256": "ab" * 32, "position": 9, "tree_size": 10, "events": 9}
LASTING = ExportCompleted(**MADE, expires_at=NOON)


def test_what_holds_the_data_of_many_waits_for_another():
    events = request(Wanted(), purpose="audit 2026", reason="yearly", by=ASKER)

    assert events == [ALL]
    assert given(EXPORT, *events).state.status is ExportStatus.AWAITING_APPROVAL


@pytest.mark.parametrize(
    ("wanted", "at_the_machine"),
    [
        (Wanted(scope=ExportScope.SUBJECT, id=OTHER), False),
        (Wanted(scope=ExportScope.STREAM, id=OTHER), False),
        (Wanted(), True),
        (Wanted(scope=ExportScope.RANGE, first=3, last=4), True),
    ],
)
def test_one_record_and_the_machine_wait_for_nobody(wanted, at_the_machine):
    events = request(wanted, purpose="audit", reason="yearly", by=ASKER, at_the_machine=at_the_machine)

    assert given(EXPORT, *events).state.status is ExportStatus.QUEUED


def test_a_range_is_bulk_and_has_positions():
    (event,) = request(Wanted(scope=ExportScope.RANGE, first=3, last=4), purpose="audit", reason="yearly", by=ASKER)

    assert event.needs_approval
    with pytest.raises(InvalidInputError) as refused:
        request(Wanted(scope=ExportScope.RANGE, first=4, last=3), purpose="audit", reason="yearly", by=ASKER)
    assert refused.value.rule == "export.empty_range"


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_nobody_asks_without_a_reason(reason):
    with pytest.raises(InvalidInputError) as refused:
        request(Wanted(), purpose="audit", reason=reason, by=ASKER)

    assert refused.value.rule == "export.no_reason"


def test_another_decides():
    assert given(EXPORT, ALL).when(decide, approve=True, by=OTHER).then(ExportApproved()).status is ExportStatus.QUEUED
    assert given(EXPORT, ALL).when(decide, approve=False, by=OTHER).then(ExportDenied()).status is ExportStatus.DENIED


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("by", [ASKER, None])
def test_nobody_decides_what_he_asked_for(approve, by):
    given(EXPORT, ALL).when(decide, approve=approve, by=by).then_refused(NotAllowedError, "export.own", ("id",))


@pytest.mark.parametrize("after", [(ExportApproved(),), (ExportDenied(),), (ExportCancelled(),)])
def test_it_is_decided_once(after):
    given(EXPORT, ALL, *after).when(decide, approve=True, by=OTHER).then_refused(
        RuleViolatedError, "export.not_awaiting"
    )


def test_what_was_not_allowed_is_never_made():
    for before in ([ALL], [ALL, ExportDenied()], [ONE, ExportCancelled()], [ONE, ExportFailed(error="full")]):
        made = given(EXPORT, *before).when(complete, **MADE, expires_at=None)
        made.then_refused(RuleViolatedError, "export.not_queued")


def test_it_is_completed_once():
    done = given(EXPORT, ONE).when(complete, **MADE, expires_at=NOON).then(LASTING)

    assert (done.status, done.position) == (ExportStatus.DONE, 9)
    given(EXPORT, ONE, LASTING).when(complete, **MADE, expires_at=NOON).then()


def test_a_failure_is_told_unless_it_ended_otherwise():
    assert given(EXPORT, ONE).when(fail, error="disk full").then(ExportFailed(error="disk full")).error == "disk full"
    given(EXPORT, ONE, ExportCancelled()).when(fail, error="disk full").then()


def test_what_has_not_ended_can_be_stopped():
    for before in ([ALL], [ONE], [ALL, ExportApproved()]):
        assert given(EXPORT, *before).when(cancel).then(ExportCancelled()).status is ExportStatus.CANCELLED
    for before in ([ONE, LASTING], [ALL, ExportDenied()], [ONE, ExportCancelled()]):
        given(EXPORT, *before).when(cancel).then_refused(RuleViolatedError, "job.ended", ("id",))


def test_it_is_fetched_until_it_expires():
    before = NOON - timedelta(seconds=1)

    given(EXPORT, ONE, LASTING).when(download, now=before).then(ExportDownloaded())
    for events, now in (([ONE, LASTING], NOON), ([ONE], before), ([ONE, ExportCompleted(**MADE)], before)):
        given(EXPORT, *events).when(download, now=now).then_refused(RuleViolatedError, "export.not_there", ("id",))


def test_it_expires_once_and_not_before_its_time():
    assert given(EXPORT, ONE, LASTING).when(expire, now=NOON).then(ExportExpired()).status is ExportStatus.EXPIRED
    given(EXPORT, ONE, LASTING).when(expire, now=NOON - timedelta(seconds=1)).then()
    given(EXPORT, ONE, LASTING, ExportExpired()).when(expire, now=NOON).then()
    given(EXPORT, ONE, ExportCompleted(**MADE)).when(expire, now=NOON).then()
