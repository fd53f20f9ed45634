"""A real SuperLink and real SuperNodes on loopback, each a process, that call nobody else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from secure_fl.transport.flower import COORDINATOR_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PROGRAMS = Path(sys.executable).parent
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    # How often Flower looks for a process to start; its own default is one second.
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    "OMP_NUM_THREADS": "1",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} does not listen on {port}")
        time.sleep(0.1)


@dataclass
class FlowerNetwork:
    """Use as a context manager; `folder` holds logs and Flower's own home."""

    folder: Path
    coordinator: Path
    sites: Mapping[str, Path]
    modules: Path
    """A folder put on the import path, for an app that is not the installed one."""

    port: int = field(default_factory=free_port)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        home = self.folder / "flwr"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "loopback"\n[superlink.loopback]\n'
            f'address = "127.0.0.1:{self.port}"\ninsecure = true\n',
            encoding="utf-8",
        )
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop)
            link = self._start("superlink", "--host", "127.0.0.1", "--port", str(self.port))
            wait_for_port(self.port, link, 60)
            for name, site in self.sites.items():
                port = free_port()
                node = self._start(
                    f"supernode-{name}",
                    *("--superlink", f"127.0.0.1:{self.port}"),
                    *("--host", "127.0.0.1", "--port", str(port)),
                    *("--node-config", f'site="{name}" folder="{site}"'),
                )
                wait_for_port(port, node, 60)
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def submit(self, bundle: Path, *, seconds: float) -> str:
        """Run a bundle to its end and return what the coordinator's process printed."""
        done = subprocess.run(
            [PROGRAMS / "flwr", "run", bundle, "loopback", "--stream"],
            env=self._environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=True,
        )
        return done.stdout.decode()

    def logs(self) -> str:
        """Return everything that the link and the nodes printed."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(encoding='utf-8', errors='replace')}"
            for path in sorted(self.folder.glob("*.log"))
        )

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **QUIET,
            "FLWR_HOME": str(self.folder / "flwr"),
            "HOME": str(self.folder),
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(self.modules),
            COORDINATOR_FOLDER: str(self.coordinator),
        }

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = PROGRAMS / f"flower-{name.partition('-')[0]}"
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, "--insecure", *arguments],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its children end with it
            )
        self._processes.append(process)
        return process

    def _stop(self) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=5)
        self._processes.clear()
