"""The packages that an app needs, as they are installed here: an app is approved together with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def versions_here(requirements: Iterable[str]) -> dict[str, str]:
    """Return name and version of what is installed of some requirements, and of all that these need; "" if it is not.

    Args:
        requirements: as in a project file; what is none is left out.
    """
    found: dict[str, str] = {}
    left, seen = [(one, "") for one in requirements], set[tuple[str, str]]()
    while left:
        one = left.pop()
        if one in seen:  # packages may need each other
            continue
        seen.add(one)
        text, extra = one
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            found[name] = ""
            continue
        found[name] = package.version
        left += [(its, asked) for its in package.requires or () for asked in ("", *wanted.extras)]
    return dict(sorted(found.items()))


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return, in words, which packages are others than before."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name, "") != now.get(name, ""))
    return [f"{name} {before.get(name) or 'none'} -> {now.get(name) or 'none'}" for name in names]
