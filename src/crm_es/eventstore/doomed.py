"""Keys that an event made obsolete: destroyed with its append, or soon after by any process that lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from crm_es.errors import CrmError
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.recorder import Recorder
from crm_es.privacy.keystore import KeyStore

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 30.0
Run = Callable[[Callable[[], None]], Awaitable[None]]


class DoomedKeys:
    """The append wrote down which they are; nothing that happens to its process or to the key store leaves one alive."""

    def __init__(self, recorder: Recorder, keys: KeyStore) -> None:
        self._recorder = recorder
        self._keys = keys
        self._sweeping: asyncio.Task[None] | None = None

    def destroy(self, workspace: WorkspaceId, key_ids: Sequence[UUID]) -> None:
        self._keys.destroy(key_ids)
        self._recorder.doomed_keys_destroyed(workspace, key_ids)

    def sweep(self) -> None:
        """Destroy all that were left."""
        while workspaces := self._recorder.workspaces_with_doomed_keys():
            for workspace in workspaces:
                self.destroy(workspace, self._recorder.pending_doomed_keys(workspace))

    def keep_sweeping(self, run: Run) -> None:
        """From now on until `stop`, in the running loop; begun anew where it was begun before."""
        self.stop()
        self._sweeping = asyncio.create_task(self._sweep_again_and_again(run))

    def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _sweep_again_and_again(self, run: Run) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await run(self.sweep)
            except CrmError as error:
                log.warning("keys that should be destroyed are still there, trying again: %s", error)
