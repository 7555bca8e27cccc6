"""How much one actor may spend in a minute: the generic cell rate algorithm, in this process's memory.

Each process of `serve` counts for itself; the figure is a fence against runaway clients, not a bill.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MINUTE: Final = 60.0
ACTORS: Final = 10_000


@dataclass(slots=True)
class RateLimit:
    """`per_second` units flow back every second; a minute's worth may be spent at once."""

    clock: Callable[[], float]
    spent_until: dict[str, float] = field(default_factory=dict)

    def charge(self, actor: str, cost: int, per_second: int) -> float:
        """Take `cost` from the actor's minute. Returns 0, or the seconds until it would fit (then nothing was taken)."""
        now = self.clock()
        until = max(now, self.spent_until.get(actor, now)) + cost / per_second
        if (late := until - now - MINUTE) > 0:
            return late
        self.spent_until[actor] = until
        if len(self.spent_until) > ACTORS:
            self.forget(now)
        return 0.0

    def forget(self, now: float) -> None:
        """Drop those who owe nothing."""
        self.spent_until = {actor: until for actor, until in self.spent_until.items() if until > now}
