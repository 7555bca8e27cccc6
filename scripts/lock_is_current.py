"""Whether requirements.lock pins everything pyproject.toml asks for, at versions it allows. Needs neither network nor uv."""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parent.parent


def pinned() -> dict[str, str]:
    """Name to version; a pin for another platform does not count."""
    lines = (Requirement(line) for line in (TOP / "requirements.lock").read_text().splitlines() if line.strip())
    here = (pin for pin in lines if pin.marker is None or pin.marker.evaluate())
    return {canonicalize_name(pin.name): re.sub(r"^==", "", str(pin.specifier)) for pin in here}


def asked() -> Iterator[tuple[str, Requirement]]:
    """Each requirement that holds here, and who asks: ours, then those of whatever we install, down to the leaves."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    own = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    waiting = [("pyproject.toml", Requirement(line)) for line in own]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        asker, requirement = waiting.pop()
        yield asker, requirement
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += [(requirement.name, need) for need in needs(requirement)]


def needs(requirement: Requirement) -> Iterator[Requirement]:
    try:
        lines = requires(requirement.name) or []
    except PackageNotFoundError:
        return
    for need in map(Requirement, lines):
        environments = [{**default_environment(), "extra": extra} for extra in ("", *requirement.extras)]
        if need.marker is None or any(need.marker.evaluate(environment) for environment in environments):
            yield need


def faults() -> Iterator[str]:
    pins = pinned()
    for asker, requirement in asked():
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}) and asker == "pyproject.toml":
            continue
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{requirement.name} is not pinned ({asker} asks for it)"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is pinned at {version}; {asker} asks for {requirement.specifier}"


if __name__ == "__main__":
    found = sorted(set(faults()))
    print("\n".join([*found, "Run sh scripts/lock."]) if found else "requirements.lock is current.")
    sys.exit(bool(found))
