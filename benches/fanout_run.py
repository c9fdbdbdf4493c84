"""One run of a server and its clients, each a process on a core of its own, checked exactly."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

__all__ = [
    "Contender",
    "Measured",
    "Plan",
    "build",
    "client",
    "cpu_s",
    "process",
    "read_event",
    "rss_bytes",
    "run",
]

HERE: Final = Path(__file__).parent
CRATE: Final = HERE / "fanout"
BUILT: Final = HERE.parent / "target" / "fanout"
SUBSCRIBE: Final = '{"action":"subscribe","topic":"status"}'
SAMPLE_S: Final = 0.25
_FIN_WAIT_1: Final = "04"


@dataclass(frozen=True)
class Contender:
    """A server, and how many messages it is given at a time.

    Attributes:
        program: `broadcast`, `tapecast` or `send`.
        joined: How many messages are published at once when it is saturated.
    """

    program: str
    joined: int = 1

    @property
    def name(self) -> str:
        """What tables call it."""
        names = {
            "broadcast": "websockets.broadcast",
            "send": "send() loop",
            "tapecast": "tapecast",
        }
        return f"{names[self.program]}, {'one' if self.joined == 1 else self.joined} at a time"

    def command(self) -> list[str]:
        """Return what starts it."""
        if self.program == "send":
            return [str(BUILT / "release" / "fanout-send-loop")]
        return [sys.executable, str(HERE / "fanout_servers.py"), self.program]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One load.

    Attributes:
        clients: All clients.
        seconds: How long it is published.
        per_s: Messages a second; None for as many as the clients take.
        never_read: Clients of them that never read.
        cores: The server's and the clients' core; None leaves that to the system.
        is_watched: Whether queues are looked at meanwhile, which takes time from the clients.
        grace_s: How much longer the clients wait for what is missing.
    """

    clients: int
    seconds: float
    per_s: float | None = None
    never_read: int = 0
    cores: tuple[int, int] | None = None
    is_watched: bool = False
    grace_s: float = 60

    @property
    def limit_s(self) -> float:
        """When its processes are ended whatever they do: connecting takes time too."""
        return self.seconds + 2 * self.grace_s


@dataclass
class Measured:
    """What one run has found.

    Attributes:
        plan: What was asked for.
        server: What the server says of itself.
        client: What the clients have counted.
        cpu_s: Processor time of the server, from when all clients were there.
        wall_s: The time meanwhile, until the last message was read.
        rss_bytes: The server's memory: listening, with all clients, and at its peak.
        kernel_bytes: Most that the kernel held in one send queue.
        orphan_bytes: What it held in the end for connections that are cut off.
    """

    plan: Plan
    server: dict[str, Any]
    client: dict[str, Any]
    cpu_s: float
    wall_s: float
    rss_bytes: tuple[int, int, int]
    kernel_bytes: int
    orphan_bytes: int

    @property
    def published(self) -> int:
        """Messages that the server has published."""
        return int(self.server["published"])

    @property
    def delivered(self) -> int:
        """Messages that clients have read, all together."""
        return int(self.client["messages"])

    def latency_ms(self, quantile: str) -> float:
        """Return the time from publishing to reading."""
        return float(self.client["latency_ns"][quantile] / 1e6)

    def check(self) -> None:
        """Raise AssertionError unless every client that reads has read every message, in order."""
        eager = [one for one in self.client["clients"] if one["role"] == "eager"]
        wrong = [
            one
            for one in eager
            if one["messages"] != self.published
            or one["missing"]
            or one["repeated"]
            or one["announced"]
            or not one["is_done"]
        ]
        assert not wrong, f"{self.published} were published, {len(wrong)} clients read {wrong[:3]}"
        assert len(eager) == self.plan.clients - self.plan.never_read
        assert self.delivered == self.published * len(eager)
        assert self.client["is_complete"]
        if self.plan.per_s is not None:
            assert self.published == round(self.plan.per_s * self.plan.seconds)


def build() -> None:
    """Build the client and the baseline.

    Raises:
        subprocess.CalledProcessError: If they cannot be built; cargo has said why.
    """
    subprocess.run(  # noqa: S603 -- nothing of it comes from outside
        ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(BUILT)],  # noqa: S607 -- cargo of the PATH
        cwd=CRATE,
        check=True,
    )


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used so far."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    # The name in parentheses may hold anything; the two times are the 14th and the 15th field.
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int, name: str = "VmRSS") -> int:
    """Return the memory of a process: what it has now, or with `VmHWM` what it had most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(value) * 1024


def pace(stdin: IO[bytes], plan: Plan) -> None:
    """Write a stamp for each message at its time, and then close."""
    assert plan.per_s is not None
    begin_ns = time.monotonic_ns()
    for number in range(round(plan.per_s * plan.seconds)):
        wait_s = (begin_ns - time.monotonic_ns()) / 1e9 + number / plan.per_s
        if wait_s > 0:
            time.sleep(wait_s)
        stdin.write(time.monotonic_ns().to_bytes(8, "little"))
        stdin.flush()
    stdin.close()


@dataclass
class SendQueues:
    """What the kernel holds for the connections of one port, looked at now and then."""

    port: int
    peak_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def _rows(self) -> Iterator[tuple[str, int]]:
        """Yield the state and the bytes of the send queue of each connection of the server."""
        local = f":{self.port:04X} "
        for line in Path("/proc/net/tcp").read_text().splitlines():
            if local in line:
                _, address, _, state, queues, *_ = line.split()
                if address.endswith(local.strip()):
                    yield state, int(queues.partition(":")[0], 16)

    def orphan_bytes(self) -> int:
        """Return what is held for connections that the server has closed and nobody has read."""
        return sum(held for state, held in self._rows() if state == _FIN_WAIT_1)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, *(held for _, held in self._rows()), 0)

    @contextmanager
    def watched(self, *, wanted: bool) -> Iterator[None]:
        """Look in a thread, for as long as the context is open."""
        thread = threading.Thread(target=self._watch, daemon=True)
        if not wanted:
            yield
            return
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


@contextmanager
def process(
    command: Sequence[str], core: int | None, *, limit_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process on a core, and end it with the context, or else when its time is over."""
    pinned = [] if core is None else ["--core", str(core)]
    with subprocess.Popen(  # noqa: S603 -- our own programs
        [*command, *pinned], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        # Whoever waits for its next line then reads that there is none.
        limit = threading.Timer(limit_s, started.kill)
        limit.start()
        try:
            yield started
        finally:
            limit.cancel()
            started.kill()


def read_event(running: subprocess.Popen[bytes], name: str) -> dict[str, Any]:
    """Return the next line of a process, which says how far it is."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, f"process has ended, expected it to say {name}"
    event: dict[str, Any] = json.loads(line)
    assert event.pop("event") == name
    return event


def _client_command(plan: Plan, port: int, more: Sequence[str]) -> list[str]:
    options = {
        "port": port,
        "clients": plan.clients,
        "never-read": plan.never_read,
        "seconds": plan.seconds + plan.grace_s,
        "send": SUBSCRIBE,
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [str(BUILT / "release" / "fanout-client"), *flags, *more]


@contextmanager
def client(
    plan: Plan, port: int, more: Sequence[str]
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], dict[str, Any]]]]:
    """Start the clients; yield their process, and what waits for all that they have counted."""
    core = None if plan.cores is None else plan.cores[1]
    with process(_client_command(plan, port, more), core, limit_s=plan.limit_s) as clients:

        def result() -> dict[str, Any]:
            assert clients.stdout is not None
            text = clients.stdout.read()
            assert clients.wait() == 0, "the clients failed; they have said why"
            counted: dict[str, Any] = json.loads(text)
            return counted

        yield clients, result


def run(contender: Contender, plan: Plan) -> Measured:
    """Start a server and its clients, let it publish, and return what both have found.

    Raises:
        AssertionError: If any client has not read exactly what was published.
    """
    options = {"clients": plan.clients, "joined": contender.joined, "seconds": plan.seconds}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    flags += [] if plan.per_s is None else ["--paced"]
    flags += ["--watch"] if plan.is_watched else []
    core = None if plan.cores is None else plan.cores[0]
    with process([*contender.command(), *flags], core, limit_s=plan.limit_s) as server:
        assert server.stdin is not None
        port = read_event(server, "listening")["port"]
        listening_bytes = rss_bytes(server.pid)
        more = ["--stamp", "trade_id", "--until", "upstream"]
        with client(plan, port, more) as (_, result):
            begun = read_event(server, "begun")
            begun_bytes, begun_cpu_s = rss_bytes(server.pid), cpu_s(server.pid)
            queues = SendQueues(port)
            with queues.watched(wanted=plan.is_watched):
                if plan.per_s is not None:
                    pace(server.stdin, plan)
                ended = read_event(server, "ended")
            peak_bytes = rss_bytes(server.pid, "VmHWM")
            orphan_bytes = queues.orphan_bytes() if plan.is_watched else 0
            counted = result()
        measured = Measured(
            plan=plan,
            server=ended,
            client=counted,
            cpu_s=cpu_s(server.pid) - begun_cpu_s,
            wall_s=(counted["last_ns"] - begun["begin_ns"]) / 1e9,
            rss_bytes=(listening_bytes, begun_bytes, peak_bytes),
            kernel_bytes=queues.peak_bytes,
            orphan_bytes=orphan_bytes,
        )
    measured.check()
    return measured
