"""The Flower app that every bundle names: the same two machines as an embedded run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secure_fl.transport.flower import client_app_for, server_app_for

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.transport import Handler, Transport


def open_site(folder: Path) -> Handler:
    """Return the handler of the site in `folder`; see `secure_fl.deployment`."""
    from secure_fl import deployment  # noqa: PLC0415 - a failure to import is answered by a code

    return deployment.open_site(folder)


def coordinate(transport: Transport, folder: Path) -> None:
    """Run the run in the coordinator's `folder`; see `secure_fl.deployment`."""
    from secure_fl import deployment  # noqa: PLC0415 - the bundle is loaded before it is needed

    deployment.coordinate(transport, folder)


client_app = client_app_for(open_site)
server_app = server_app_for(coordinate)
