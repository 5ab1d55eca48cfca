"""What an installation without extras takes on the disk: this package and all that it needs, as their metadata name them.

Method: the requirements are followed from the project's own metadata, markers evaluated and extras left out; the sizes are
those of the files that each distribution lists, with the compiled ones that Python has put beside them.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.measure import Row, at_most, show

ROOT: Final = "orchestrator-edge"
SHOWN: Final = 6
"""The largest ones have rows of their own."""


def needed() -> set[str]:
    """The names of all distributions that a user gets."""
    found: set[str] = set()
    left = [ROOT]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(canonicalize_name(requirement.name))
    return found


def size_of(name: str) -> float:
    """In MB."""
    files = {Path(str(each.locate())) for each in distribution(name).files or ()}
    if name == ROOT:  # here it is installed in place
        files = {each for each in Path("orchestrator").rglob("*") if each.is_file()}
    compiled = {
        each for path in files if path.suffix == ".py" for each in path.parent.glob(f"__pycache__/{path.stem}.*")
    }
    return sum(path.stat().st_size for path in files | compiled if path.is_file()) / 1e6


def rows() -> list[Row]:
    """All rows."""
    sizes = {name: size_of(name) for name in needed()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:SHOWN]
    return [
        at_most(f"installed without extras: {len(sizes)} packages", sum(sizes.values()), "MB", 120),
        *(Row(f"... of it {name}", sizes[name], "MB") for name in largest),
    ]


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    main()
