"""What an import left in the log, sealed and proved as an auditor would have it, by both verifiers."""

import shutil
from pathlib import Path
from typing import Any

from crm_es.exports import whole_log
from crm_es.ledger.checkpoint import vkey
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.running import Sealing
from tests.imports.office import Office
from tests.verify.judges import PLACE, OtherVerifier, verdict

ORIGIN = "crm.test"


def prove_all(office: Office) -> None:
    """Every event of the workspace is sealed, and the whole log holds."""
    sealing = Sealing(
        office.urls.sealer, keys=KeyFile(office.folder / "sealer.key"), memory_file=office.folder / "sealer.sqlite",
        origin=ORIGIN, poll=0.05, heads_interval=1e6,
    )  # fmt: skip
    sealing.drain()
    at = whole_log.write(office.urls.owner, office.workspace, office.folder / "log")
    (office.folder / "log.key").write_text(vkey(at.origin, at.public))

    said = holds(office.folder / "log", at.origin, office.folder / "log.key", "--no-custody")

    assert said["events"] == said["size"] == office.events()


def holds(bundle: Path, origin: str, key: Path, *also: str) -> dict[str, Any]:
    """What the verifier says, and where Node is at hand the other one too."""
    words = ["full", str(bundle), "--origin", origin, "--public-key", str(key), *also]
    code, said = verdict(words)
    assert code == 0, said
    if shutil.which("node"):
        other = OtherVerifier()
        again, theirs = other.verdict(words)
        other.stop()
        assert (again, [theirs.get(key) for key in PLACE]) == (code, [said.get(key) for key in PLACE])
    return said
