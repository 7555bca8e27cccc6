"""Answers without what goes on counting while one looks."""

from typing import Any, Final

COUNTING: Final = {"seconds", "elapsedSeconds", "remainingSeconds", "measuredAt"}


def timeless(value: Any) -> Any:
    """The same answer, whenever it was asked for."""
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name not in COUNTING}
    return [timeless(each) for each in value] if isinstance(value, list) else value
