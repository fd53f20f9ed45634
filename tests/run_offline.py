"""Run the tests without a network, and say how the network was cut off.

Where the system allows it, the tests run in an empty network namespace that has only a loopback
interface: nothing inside it, subprocesses and name look-ups included, can leave the machine.
Elsewhere pytest-socket refuses connections of the test process itself, which is weaker.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

INSIDE = "--inside-namespace"
PROBE = "--probe-namespace"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
IFREQ = "16sH14s"  # struct ifreq of linux/if.h: the name, the flags, padding
HERE = str(Path(__file__).resolve())
UNSHARE = ["unshare", "--map-root-user", "--net"]


def interface_flags(control: socket.socket, name: str) -> int:
    """Return an interface's flags (sysfs would show those of the namespace we came from)."""
    request = struct.pack(IFREQ, name.encode(), 0, b"")
    return int(struct.unpack(IFREQ, fcntl.ioctl(control, SIOCGIFFLAGS, request))[1])


def raise_loopback() -> None:
    """Bring the namespace's loopback interface up; `ip` is not installed everywhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = interface_flags(control, "lo") | IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", flags, b""))


def probe() -> int:
    """Return 0 when loopback works in here and nothing else does."""
    raise_loopback()
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    # A kernel may add its tunnel devices to every namespace, but they are down.
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return int(any(interface_flags(control, name) & IFF_UP for name in others))


def namespace_works() -> bool:
    """Return whether this system lets us make an empty network namespace."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    command = [*UNSHARE, sys.executable, HERE, PROBE]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_pytest(arguments: list[str]) -> None:
    """Replace this process by pytest."""
    workers = os.environ.get("PYTEST_WORKERS", "3")
    # One thread per worker: more threads than cores are slower. A third worker runs while others
    # wait for processes that their tests start.
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    command = [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal", *arguments]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def main(arguments: list[str]) -> int:
    """Find the strongest way to cut the network, say which, and run pytest in it."""
    if arguments[:1] == [PROBE]:
        return probe()
    if arguments[:1] == [INSIDE]:
        raise_loopback()
        run_pytest(arguments[1:])
    if namespace_works():
        print("Network: none. The tests run in an empty network namespace with loopback only.")
        sys.stdout.flush()
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, HERE, INSIDE, *arguments])
    print(
        "Network: refused by pytest-socket, loopback allowed. This system gives no network "
        "namespace, so subprocesses and name look-ups are not cut off."
    )
    guard = ["--disable-socket", "--allow-unix-socket", "--allow-hosts=127.0.0.1,::1"]
    run_pytest([*guard, *arguments])
    return 1  # not reached: run_pytest replaces the process


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
