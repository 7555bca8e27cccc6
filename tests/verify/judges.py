"""The two verifiers, as functions."""

import contextlib
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from crm_es.ledger import crm_verify

SECOND = Path(__file__).parents[2] / "tools/verify-js/verify.mjs"
PLACE = ("position", "file", "stream", "version", "size", "scope", "upto", "sealed", "read", "notChecked")


def verdict(words: list[str]) -> tuple[int, dict[str, Any]]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = crm_verify.main(words if words[0] == "locate" else [*words, "--jobs", "1"])
    return code, json.loads(printed.getvalue().splitlines()[-1])


class OtherVerifier:
    """The one in JavaScript, kept running."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            [shutil.which("node") or "", str(SECOND), "--lines"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def verdict(self, words: list[str]) -> tuple[int, dict[str, Any]]:
        self.ask(words)
        return self.answer()

    def ask(self, words: list[str]) -> None:
        """It works while its asker does something else."""
        assert self._node.stdin
        self._node.stdin.write(f"{json.dumps(words)}\n")
        self._node.stdin.flush()

    def answer(self) -> tuple[int, dict[str, Any]]:
        """To what was asked last."""
        assert self._node.stdout
        said = json.loads(self._node.stdout.readline())
        return crm_verify.RESULTS.index(said["result"]), said

    def stop(self) -> None:
        self._node.communicate()
