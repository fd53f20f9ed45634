"""The application bundle of a Flower run: metadata only, and a guard that holds it to that.

Flower puts the folder of a submitted bundle in front of the import path, so that a `crypto/` in
it would win over the site's own. Our bundle therefore holds nothing but a `pyproject.toml` that
names two objects of the installed package, and a site looks at a bundle before Flower loads it.
"""

from __future__ import annotations

import lzma
import struct
import tomllib
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import tomli_w

from crypto.digests import digest_json, sha256
from crypto.errors import BudgetError, PeerError
from secure_fl import __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

METADATA = "pyproject.toml"
COMPONENTS = {
    "clientapp": "secure_fl.flower_app:client_app",
    "serverapp": "secure_fl.flower_app:server_app",
}
LIMIT_BYTES = 1 << 16
"""A bundle of ours has under 1 KiB; more than this is not read."""

_MANIFEST = ".info/CONTENT"
_PUBLISHER = "secure-fl"
# Everything that `zipfile` was seen to raise over damaged archives.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def write_bundle(folder: Path, *, sites: int, timeout_seconds: int) -> bytes:
    """Write the bundle to submit with `flwr run` into a new folder, and return its digest.

    Args:
        folder: is created; must not exist.
        sites: how many sites the coordinator waits for before its first exchange.
        timeout_seconds: how long it waits for them, and then for the replies of an exchange.
    """
    text = tomli_w.dumps(
        {
            "project": {
                "name": "secure-fl-run",
                "version": __version__,
                "description": "Runs what is installed at the sites; brings no code.",
                "license": "Apache-2.0",
                "dependencies": [f"secure-fl=={__version__}"],
            },
            "tool": {
                "flwr": {
                    "app": {
                        "publisher": _PUBLISHER,
                        "components": COMPONENTS,
                        "config": {"sites": sites, "timeout-seconds": timeout_seconds},
                    }
                }
            },
        }
    )
    folder.mkdir(parents=True)
    (folder / METADATA).write_text(text, encoding="utf-8")
    return bundle_digest({METADATA: text.encode()})


def bundle_digest(files: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 of the RFC 8785 JSON object of names and the files' hex SHA-256.

    It covers the content and not the archive around it, whose bytes depend on the version of
    the compressor that wrote it.
    """
    return digest_json({name: sha256(data).hex() for name, data in files.items()})


def check_bundle(path: Path, allowed_digests: Collection[bytes]) -> bytes:
    """Check a bundle, a folder or a `.fab` archive, before anything of it is loaded.

    Returns:
        Its digest, 32 bytes, as `write_bundle` returned it.

    Raises:
        PeerError: it holds anything but metadata that names this package's two objects.
        BudgetError: the site's policy does not list its digest.
    """
    files = _read_folder(path) if path.is_dir() else _read_archive(path)
    strangers = sorted(set(files) - {METADATA})
    if strangers or METADATA not in files:
        found = ", ".join(strangers) if strangers else "no metadata"
        raise PeerError(
            f"The bundle {path.name} holds {found} beside or instead of {METADATA}: nothing of "
            "it was loaded, as code that came with a run could read this site's records. Ask "
            "its sender for the bundle that `write_bundle` makes."
        )
    _check_components(path, files[METADATA])
    digest = bundle_digest(files)
    if digest not in allowed_digests:
        raise BudgetError(
            f"The site's policy does not list the bundle {digest.hex()}: nothing of it was "
            "loaded. If the compliance officer agrees to this run, list the digest."
        )
    return digest


def _check_components(path: Path, metadata: bytes) -> None:
    try:
        table: Any = tomllib.loads(metadata.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise PeerError(f"The {METADATA} of the bundle {path.name} is not TOML.") from error
    for key in ("tool", "flwr", "app", "components"):
        table = table.get(key) if isinstance(table, dict) else None
    if table != COMPONENTS:
        raise PeerError(
            f"The bundle {path.name} names other objects to run than {sorted(COMPONENTS.values())}"
            ": it was not loaded. It comes from another program or another version."
        )


def _read_folder(folder: Path) -> dict[str, bytes]:
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise PeerError(f"The bundle {folder.name} holds {name}, which is not a plain file.")
        if path.is_dir():
            continue
        _check_size(folder, name, path.stat().st_size)
        files[name] = path.read_bytes()
    return files


def _read_archive(path: Path) -> dict[str, bytes]:
    files = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_size(path, member.filename, member.file_size)
                if member.filename in files:
                    raise PeerError(f"The bundle {path.name} holds {member.filename} twice.")
                files[member.filename] = archive.read(member)
    except _UNREADABLE as error:
        raise PeerError(f"The bundle {path.name} is not a readable archive.") from error
    files.pop(_MANIFEST, None)  # Flower's own list of digests; it never reaches the disk
    return files


def _check_size(path: Path, name: str, size_bytes: int) -> None:
    if size_bytes > LIMIT_BYTES:
        raise PeerError(
            f"The bundle {path.name} holds {name} of {size_bytes} bytes, above the limit of "
            f"{LIMIT_BYTES}: it was not read, as metadata is never that large."
        )
