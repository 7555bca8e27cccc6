"""What a verdict says of a bundle, whom its events name, and what the daily look and a sample are worth."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crm_es.ledger import crm_verify
from tests.verify.conftest import Both, bundled, of
from tests.verify.house import House, bundle
from tests.verify.judges import SECOND
from tests.verify.mutations import Case
from tests.verify.test_completeness import forget_custody, without

# -- what it says is complete


@pytest.mark.parametrize("kind", ["workspace", "log", "range", "stream", "subject"])
def test_it_says_of_what_and_up_to_where_all_holds(tmp_path: Path, both: Both, kind: str) -> None:
    """An honest extract of another contact, or of last year, holds too: the auditor must see what it is of."""
    case = of(tmp_path, kind, custody=kind != "log")
    manifest = json.loads(case.read("MANIFEST.json"))
    sealed = json.loads(json.loads(case.read("heads/sealed.json"))["event"])

    code, said = both(case.words())

    ends = {"log": manifest["treeSize"], "range": manifest["scope"].get("to")}
    assert code == 0
    assert said["scope"] == manifest["scope"]
    assert said["upto"] == ends.get(kind, manifest["position"])
    assert said["sealed"] == sealed["recorded_at"]


def test_a_sample_says_nothing_of_the_rest(tmp_path: Path, both: Both) -> None:
    code, said = both(of(tmp_path).words("sample", "100000"))

    assert (code, said["scope"], said["upto"]) == (0, None, None)


@pytest.mark.parametrize("kind", ["stream", "subject"])
def test_the_daily_look_at_few_streams_misses_nothing_left_out(tmp_path: Path, both: Both, kind: str) -> None:
    case = of(tmp_path, kind)
    case.house.grow(1)
    kept = tmp_path / "kept"
    kept.write_bytes(case.read("CHECKPOINT"))
    last = case.positions(len(case.index) - 1)[-1]
    partial = without(case, tmp_path / "partial", {last})
    forget_custody(partial)

    assert both([*case.words("since", str(kept)), "--new"])[0] == 0
    assert both([*partial.words("since", str(kept)), "--new"])[0] == 2


# -- mentions


def test_a_contact_is_named_however_its_id_is_written(tmp_path: Path, both: Both) -> None:
    house = House(5)
    contact, deal = house.uuid(), house.uuid()
    house.append(contact, "contact.registered", {})
    house.append(deal, "deal.opened", {"contact_id": contact}, escaped=contact)
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    assert f"p {contact} 2 ".encode() in gzip.decompress(case.read("heads/map.txt.gz"))
    assert both(case.words())[0] == 0


def test_an_id_in_capitals_as_a_key_or_in_a_text_names_nobody(tmp_path: Path, both: Both) -> None:
    house = House(6)
    contact = house.uuid()
    house.append(contact, "contact.registered", {})
    house.append(house.uuid(), "deal.opened", {"a": contact.upper(), contact: [], "b": f" {contact}"})
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    assert f"p {contact} 1 ".encode() in gzip.decompress(case.read("heads/map.txt.gz"))
    assert both(case.words())[0] == 0


def test_a_contact_is_one_from_its_first_event_that_says_so(tmp_path: Path, both: Both) -> None:
    """No stream of ours begins with another; one that does is no reason for an alarm."""
    house = House(8)
    contact = house.uuid()
    house.append(contact, "deal.opened", {})
    early, late = (house.uuid() for _ in range(2))
    house.append(early, "deal.opened", {"contact_id": contact})
    for number in range(3):
        house.append(contact, "contact.registered", {"n": number})
        house.append(late, "deal.opened", {"contact_id": contact})
    bundle(house, tmp_path / "whole", {"kind": "workspace"}, per_file=2)
    case = Case(house, tmp_path / "whole", "workspace", custody=True)

    assert house.named[contact] == {contact, late}
    assert both(case.words())[0] == 0


@pytest.mark.parametrize("field", ["actor", "origin", "entry", "reason"])
def test_who_is_named_outside_the_data_is_not_named(tmp_path: Path, both: Both, field: str) -> None:
    """Not even beside keys by which the data is found."""
    house = House(9)
    contact = house.uuid()
    house.append(contact, "contact.registered", {})
    keys = ("causation_id", "correlation_id", "data", "occurred_at", "reason", "recorded_at", "z")
    house.append(house.uuid(), "deal.opened", {}, more={field: {"a": 0, **{key: [contact] for key in keys}}})
    house.grow(5)
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    assert f"p {contact} 1 ".encode() in gzip.decompress(case.read("heads/map.txt.gz"))
    assert both(case.words())[0] == 0


@pytest.mark.parametrize("number", ["-1", "0.5", "all"])
def test_a_sample_is_of_a_number_of_events(tmp_path: Path, number: str) -> None:
    words = of(tmp_path).words("sample", number)

    for program in programs():
        assert subprocess.run([*program, *words], capture_output=True, check=False, timeout=300).returncode == 3


def programs() -> list[list[str]]:
    """As they are run; the second where there is a Node."""
    node = shutil.which("node")
    return [[sys.executable, crm_verify.__file__], *([[node, str(SECOND)]] if node else [])]
