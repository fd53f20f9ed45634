"""What `secure-fl doctor` looks at on any machine: libraries, clock, disk, network, state."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import sys
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audits.numerals import bound
from crypto.errors import IntegrityError
from crypto.keyfiles import read_public, read_secret
from crypto.roster import open_roster
from privacy.ledger import Ledger
from secure_fl.findings import bad, checked, note, ok
from secure_fl.policy import load_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from secure_fl.findings import Finding

_OLDEST_PYTHON: Final = (3, 11)
_RELEASE_YEAR: Final = 2026
_CLOCK_TOLERANCE: Final = timedelta(minutes=5)
_GIB: Final = 2**30
_LEAST_FREE_BYTES: Final = _GIB // 4
_EASY_FREE_BYTES: Final = 2 * _GIB
_SHOWN: Final = ("torch", "transformers", "peft", "presidio-analyzer", "cryptography", "flwr")
_REQUIREMENT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<bounds>[^;]*)(?P<marker>;.*)?")
_BOUND: Final = re.compile(r"(?P<sign>==|>=|<)(?P<version>[0-9.]+)")
_ROUTE_UP: Final = 0x1


def python() -> Iterator[Finding]:
    """Yield whether this Python is new enough."""
    version = platform.python_version()
    if sys.version_info >= _OLDEST_PYTHON:
        yield ok("Python", version)
    else:
        yield bad("Python", f"{version} is too old: install Python 3.11 or newer.")


def libraries() -> Iterator[Finding]:
    """Yield whether every library that this program declares is here, in a version it takes."""
    faults = [fault for text in metadata.requires("secure-fl") or () for fault in _fault(text)]
    if faults:
        yield bad(
            "libraries",
            f"{'; '.join(faults)}: install secure-fl again into an environment of its own, from "
            "its requirements.lock.",
        )
        return
    try:
        import torch  # noqa: PLC0415 - whether it loads is the question
    except (ImportError, OSError) as error:
        yield bad("libraries", f"torch does not load ({error}): install it again.")
        return
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
    yield ok("libraries", f"{shown}; torch has {torch.get_num_threads()} threads")


def clock(now: datetime) -> Iterator[Finding]:
    """Yield whether `now` can be the time at all."""
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    if now.year < _RELEASE_YEAR:
        yield bad(
            "clock",
            f"{shown} is before this version was made: signatures would be dated wrongly and "
            "rosters refused. Set the clock.",
        )
    else:
        yield ok("clock", shown)


def disk(folders: Iterable[Path]) -> Iterator[Finding]:
    """Yield how much room there is where a run writes."""
    for folder in folders:
        place = _nearest(folder)
        if not os.access(place, os.W_OK):
            yield bad(
                "disk",
                f"This user may not write to {place}: choose another folder for {folder}, or "
                "mend its permissions.",
            )
            continue
        free = shutil.disk_usage(place).free
        said = f"{free / _GIB:.1f} GiB free at {place}"
        if free < _LEAST_FREE_BYTES:
            yield bad("disk", f"{said}: a run may not end. Free some space.")
        elif free < _EASY_FREE_BYTES:
            yield note("disk", f"{said}: enough for a small run.")
        else:
            yield ok("disk", said)


def network(routes: Path = Path("/proc/net")) -> Iterator[Finding]:
    """Yield whether a network could be reached, from the routing tables alone.

    Args:
        routes: the folder in which Linux shows its routing tables.
    """
    lines = [name for name in ("route", "ipv6_route") if (routes / name).is_file()]
    if not lines:
        yield note("network", "Not known on this system. A run does not need one.")
    elif _default_route(routes):
        yield ok("network", "There is a default route. Nobody was asked, and a run needs none.")
    else:
        yield ok("network", "No default route: nothing outside can be reached. A run needs none.")


def state(folder: Path, now: datetime) -> Iterator[Finding]:
    """Yield how keys, rosters, policies and ledgers in the state folder stand."""
    if not folder.is_dir():
        yield ok("state", f"Nothing in {folder} yet: the first run makes keys and ledgers there.")
        return
    yield from checked("keys", lambda: _keys(folder))
    yield from checked("roster", lambda: _roster(folder, now))
    yield from checked("ledgers", lambda: _ledgers(folder, now))


def _keys(folder: Path) -> Iterator[Finding]:
    paths = sorted(folder.rglob("*.key"))
    for path in paths:
        read_secret(path)
    said = f"{len(paths)} in {folder}, each readable by its owner alone"
    yield ok("keys", said) if paths else note("keys", f"None in {folder} yet.")


def _roster(folder: Path, now: datetime) -> Iterator[Finding]:
    path = folder / "consortium" / "roster.json"
    if not path.is_file():
        return
    public = path.with_name("root.pub")
    try:
        roster = open_roster(path.read_bytes(), read_public(public), now)
    except IntegrityError as error:
        yield bad("roster", f"{path} and {public} do not belong together: {error}")
        return
    yield ok("roster", f"{len(roster.sites())} sites, valid until {roster.not_after[:10]}")


def _ledgers(folder: Path, now: datetime) -> Iterator[Finding]:
    paths = sorted(folder.glob("sites/*/ledger.sqlite"))
    if not paths:
        yield note("ledgers", f"None in {folder} yet.")
        return
    said: dict[str, list[str]] = {}
    for path in paths:
        with Ledger.open(path, clock=lambda: now) as ledger:
            entries = ledger.entries()
            last = datetime.fromisoformat(entries[-1].time) if entries else None
            if last is not None and last > now + _CLOCK_TOLERANCE:
                yield bad(
                    "clock",
                    f"The newest entry of {path} is dated {last:%Y-%m-%d %H:%M} UTC, which is to "
                    "come: the clock was set back. Set it right before a run.",
                )
            for line in _spending(ledger, path):
                said.setdefault(line, []).append(path.parent.name)
    yield ok("ledgers", f"{len(paths)} open and verify, entry by entry")
    for line, sites in said.items():
        yield ok("budget", f"{_sites(sites)}: {line}")


def _spending(ledger: Ledger, path: Path) -> Iterator[str]:
    policy = load_policy(path.with_name("policy.toml"))
    for entry in policy.datasets:
        if not ledger.charges(entry.name):
            continue
        spent, ceiling = ledger.spent(entry.name, entry.delta), policy.ceiling(entry.name)
        if math.isinf(spent):
            yield (
                f"`{entry.name}` was used without any guarantee, so no private run can use it "
                "any more"
            )
        else:
            yield f"`{entry.name}` has spent epsilon {bound(spent)} of {bound(ceiling)}"


def _sites(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _fault(requirement: str) -> Iterator[str]:
    """Yield what is wrong with one declared library, if anything is."""
    match = _REQUIREMENT.match(requirement)
    if match is None or "extra" in (match["marker"] or ""):
        return
    try:
        found = metadata.version(match["name"])
    except metadata.PackageNotFoundError:
        yield f"{match['name']} is not installed"
        return
    for each in _BOUND.finditer(match["bounds"]):
        if not _holds(_numbers(found), each["sign"], _numbers(each["version"])):
            yield f"{match['name']} is {found}, and {each[0]} is needed"


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _holds(found: tuple[int, ...], sign: str, wanted: tuple[int, ...]) -> bool:
    if sign == "==":
        return found == wanted
    return found >= wanted if sign == ">=" else found < wanted


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    absolute = folder.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.exists())


def _default_route(routes: Path) -> bool:
    for line in _lines(routes / "route")[1:]:
        fields = line.split()
        # Interface, destination, gateway, flags, ..., mask: see proc_net(5).
        if fields[1] == fields[7] == "00000000" and int(fields[3], 16) & _ROUTE_UP:
            return True
    for line in _lines(routes / "ipv6_route"):
        fields = line.split()
        # Destination, its prefix length, ..., interface; the loopback's is a refusal.
        if set(fields[0]) == {"0"} and fields[1] == "00" and fields[-1] != "lo":
            return True
    return False


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines() if path.is_file() else []
