"""`--log-only` proves each byte of each event and its place, reads none, and says what it did not look at.

What a hostile log could make of that, and what must not come of it: that whoever wrote what is not read (before it was signed, or
with the key; views, on their way) gets words that a full look would earn; that a bundle of one contact passes, of which only what
events say tells that it is complete; that places without an event hide where no epoch says they were lost.
"""

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crm_es.ledger import crm_verify
from crm_es.ledger.merkle import leaf_hash
from tests.verify.conftest import Both, bundled, of
from tests.verify.house import House
from tests.verify.judges import verdict
from tests.verify.mutations import Case, rehash
from tests.verify.test_hostile import epoch
from tests.verify.test_said import programs

WORKSPACE, TIMES, VERSIONS, HEADS, COUNTS, VIEWS = crm_verify.UNREAD


def unread(case: Case, *mode: str) -> list[str]:
    return [*case.words(*mode), "--log-only"]


# -- honest logs


def test_an_honest_log_holds_and_the_verdict_names_what_was_not_read(cases: list[Case], both: Both) -> None:
    for case in cases:
        code, said = both(unread(case))
        whole = both(case.words())[1]

        if case.kind in ("stream", "subject"):
            assert (code, said["file"], said["scope"]) == (3, "MANIFEST.json", None)
        else:
            assert (code, said["read"], said["notChecked"]) == (0, "log", list(crm_verify.UNREAD))
            assert [said[key] for key in ("scope", "upto", "sealed")] == [
                whole[key] for key in ("scope", "upto", "sealed")
            ]
        assert (whole["read"], whole["notChecked"], whole["reason"]) == ("events", [], "everything holds")
        assert "everything holds" not in json.dumps(said)


def test_a_part_of_the_log_names_what_only_the_whole_shows(cases: list[Case], tmp_path: Path, both: Both) -> None:
    case, kept = cases[0], tmp_path / "kept"
    kept.write_text(case.house.note(12))
    daily = case.words("since", str(kept))

    assert both([*daily, "--new"])[1]["notChecked"] == ["events up to 12", *crm_verify.WHOLE]
    assert both(case.words("sample", "100000"))[1]["notChecked"] == ["events that were not chosen", *crm_verify.WHOLE]
    code, said = both([*daily, "--new", "--log-only"])
    assert (code, said["read"], set(said["notChecked"])) == (
        0, "log", {"events up to 12", *crm_verify.WHOLE, *crm_verify.UNREAD},
    )  # fmt: skip
    assert said["reason"].startswith("each byte after 12 is what was signed")


def test_the_daily_look_without_reading_finds_what_came_since(tmp_path: Path, both: Both) -> None:
    case, kept = of(tmp_path), tmp_path / "kept"
    kept.write_text(case.house.note(70))
    daily = [*unread(case, "since", str(kept)), "--new"]
    name, last = case.index[-1]["path"], case.positions(len(case.index) - 1)[-1]

    assert both(daily)[0] == 0
    case.write(name, case.read(name)[:-30])
    code, said = both(daily)

    assert (code, said["position"], said["notChecked"]) == (2, last, None)


def test_a_sample_is_read(tmp_path: Path) -> None:
    words = unread(of(tmp_path), "sample", "3")

    for program in programs():
        assert subprocess.run([*program, *words], capture_output=True, check=False, timeout=300).returncode == 3


# -- what who holds the key could sign


class Forgetful(House):
    """Leaves a stream out of its heads map, and seals that."""

    def leaves(self, size: int) -> list[str]:
        return super().leaves(size)[:-1]


def of_another_workspace(house: House) -> None:
    house.append(house.uuid(), "deal.opened", {})
    house.states[-1] = house.states[-1].replace(house.workspace.encode(), house.uuid().encode())
    house.tree.leaves[-1] = leaf_hash(house.states[-1])


def recorded_before_it_happened(house: House) -> None:
    house.clock -= 10**9
    house.append(house.uuid(), "deal.opened", {})


def without_a_version(house: House) -> None:
    stream = house.uuid()
    house.heads[stream] = 1, 0
    house.append(stream, "deal.won", {})


@pytest.mark.parametrize(
    ("claim", "forge"),
    [(WORKSPACE, of_another_workspace), (TIMES, recorded_before_it_happened), (VERSIONS, without_a_version)],
)
def test_what_an_event_says_wrongly_is_named_as_unread(
    tmp_path: Path, both: Both, claim: str, forge: Callable[[House], None]
) -> None:
    house = House(31)
    house.grow(20)
    forge(house)
    house.grow(20)
    holds_unread(bundled(house, tmp_path / "whole", {"kind": "workspace"}), both, claim)


def test_heads_that_leave_a_stream_out_are_named_as_unread(tmp_path: Path, both: Both) -> None:
    house = Forgetful(32)
    house.grow(40)
    holds_unread(bundled(house, tmp_path / "whole", {"kind": "workspace"}), both, HEADS)


def test_a_manifest_that_counts_other_types_is_named_as_unread(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path, custody=False)
    counts = json.loads(case.read("MANIFEST.json"))["counts"]
    rehash(case, counts={**counts, "byType": {"deal.won": counts["events"]}})
    holds_unread(case, both, COUNTS)

    rehash(case, counts={**counts, "events": counts["events"] + 1})
    assert both(unread(case))[0] == 1


def test_a_view_that_tells_otherwise_is_named_as_unread(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path, custody=False)
    (case.directory / "views").mkdir()
    case.write("views/contacts.csv", b"id,name\n")
    files = json.loads(case.read("MANIFEST.json"))["files"]
    rehash(case, files=[*files, {"path": "views/contacts.csv", "size": 8, "sha256": sha256(b"id,name\n").hexdigest()}])
    assert both(case.words())[0] == both(unread(case))[0] == 0

    case.write("views/contacts.csv", b"id,nam\xc3\xa9\n")
    holds_unread(case, both, VIEWS)
    case.write("views/contacts.csv", None)
    assert (both(unread(case))[0], both(unread(case))[1]["file"]) == (2, "views/contacts.csv")


def holds_unread(case: Case, both: Both, claim: str) -> None:
    """Whoever reads finds it; who does not is told that this was not looked at."""
    assert both(case.words())[0] == 1
    code, said = both(unread(case))
    assert (code, said["read"]) == (0, "log")
    assert claim in said["notChecked"]
    assert "everything" not in said["reason"]


# -- epochs


def test_a_place_without_an_event_is_found_unread(tmp_path: Path, both: Both) -> None:
    house = House(33)
    house.grow(20)
    house.states.append(b"")
    house.tree.add(b"")
    house.grow(20)
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    code, said = both(unread(case))

    assert (code, said["file"]) == (1, "events/index.json")


@pytest.mark.parametrize("escaped", ["", "epoch_opened"])
@pytest.mark.parametrize(("lost", "verdict"), [({5, 6}, (0, None)), ({5, 6, 9}, (1, 9))])
def test_what_an_epoch_lost_is_read_also_then(
    tmp_path: Path, both: Both, lost: set[int], verdict: tuple[int, Any], escaped: str
) -> None:
    house = epoch(34, lost, said=(5, 6), escaped=escaped)
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    code, said = both(unread(case))

    assert (code, said["position"]) == verdict
    assert both(case.words())[0] == verdict[0]


def test_who_knows_only_the_first_epoch_is_told_what_it_lost(tmp_path: Path, both: Both) -> None:
    house = epoch(35, set(), said=(14, 20))
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})
    words = unread(case)
    words[words.index("--origin") + 1] = house.origin.removesuffix("/2")

    code, said = both(words)

    assert (code, said["position"]) == (2, 14)


# -- how it is done


def test_no_event_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = of(tmp_path)
    monkeypatch.delattr(crm_verify, "Reading")

    assert verdict(unread(case))[0] == 0
