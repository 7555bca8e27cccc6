"""What an absorbed contact was named in is the person's too: a bundle of the survivor proves those streams complete as well."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crm_es.exports.files import pretty
from tests.verify.conftest import Both, bundled
from tests.verify.house import House
from tests.verify.mutations import Case
from tests.verify.test_completeness import forget_custody

ADA, BEA, CLEO = "ada", "bea", "cleo"


class People:
    """Three contacts with a deal each that names nobody else."""

    def __init__(self) -> None:
        self.house = House(17)
        self.ids = {name: self.house.uuid() for name in (ADA, BEA, CLEO)}
        self.deals = {name: self.house.uuid() for name in self.ids}
        for name, id_ in self.ids.items():
            self.house.append(id_, "contact.registered", {"name": "sealed"})
            self.house.append(self.deals[name], "deal.opened", {"contact_id": id_})

    def merge(self, survivor: str, absorbed: str) -> None:
        self.house.merge(self.ids[survivor], self.ids[absorbed])

    def release(self, survivor: str, absorbed: str) -> None:
        self.house.release(self.ids[survivor], self.ids[absorbed])

    def bundle(self, folder: Path, name: str = ADA, **scope: Any) -> Case:
        return bundled(self.house, folder / name, {"kind": "subject", "id": self.ids[name], **scope})

    def scope(self, *absorbed: str) -> dict[str, Any]:
        return {"kind": "subject", "id": self.ids[ADA], "absorbed": sorted(self.ids[name] for name in absorbed)}


@pytest.fixture
def people() -> People:
    return People()


def test_the_streams_of_the_absorbed_are_in_the_scope(tmp_path: Path, both: Both, people: People) -> None:
    people.merge(BEA, CLEO)
    people.merge(ADA, BEA)

    code, said = both(people.bundle(tmp_path).words())

    assert code == 0, said
    assert said["scope"] == people.scope(BEA, CLEO)
    assert said["events"] == 3 + 3 + 4  # registered, opened, and the halves of two merges


@pytest.mark.parametrize("left", [[], [BEA], [CLEO]])
def test_a_bundle_without_the_absorbed_is_incomplete(
    tmp_path: Path, both: Both, people: People, left: list[str]
) -> None:
    """Left out of events, proofs and scope alike, and all else made to fit."""
    people.merge(BEA, CLEO)
    people.merge(ADA, BEA)

    code, said = both(people.bundle(tmp_path, absorbed=sorted(people.ids[name] for name in left)).words())

    assert (code, said["file"]) == (2, "MANIFEST.json")


def test_who_was_given_back_is_another_person(tmp_path: Path, both: Both, people: People) -> None:
    people.merge(ADA, BEA)
    people.merge(ADA, CLEO)
    people.release(ADA, BEA)

    code, said = both(people.bundle(tmp_path).words())
    asked = [people.ids[name] for name in (BEA, CLEO)]
    more, others = both(people.bundle(tmp_path / "more", absorbed=sorted(asked)).words())

    assert (code, said["scope"]) == (0, people.scope(CLEO))
    assert (more, others["file"]) == (1, "MANIFEST.json")


def test_an_absorbed_contact_alone_is_its_own(tmp_path: Path, both: Both, people: People) -> None:
    people.merge(BEA, CLEO)
    people.merge(ADA, BEA)

    code, said = both(people.bundle(tmp_path, BEA).words())

    assert (code, said["scope"]["absorbed"]) == (0, [people.ids[CLEO]])


def test_the_absorbed_of_the_scope_need_their_proofs(tmp_path: Path, both: Both, people: People) -> None:
    people.merge(ADA, BEA)
    case = people.bundle(tmp_path)
    proofs = json.loads(case.read("heads/proofs.json"))
    del proofs["subjects"][people.ids[BEA]]
    proofs["leaves"] = [leaf for leaf in proofs["leaves"] if not leaf["leaf"].startswith(f"p {people.ids[BEA]}")]
    data = pretty(proofs)
    case.write("heads/proofs.json", data)
    manifest = json.loads(case.read("MANIFEST.json"))
    for file in manifest["files"]:
        if file["path"] == "heads/proofs.json":
            file.update(size=len(data), sha256=sha256(data).hexdigest())
    case.write("MANIFEST.json", pretty(manifest))
    forget_custody(case)
    case.custody = False

    code, said = both(case.words())

    assert (code, said["file"]) == (2, "heads/proofs.json")
