"""The loads of the fan-out benches: each takes a contender and returns its figures of one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fanout_run import Contender, Plan, run

__all__ = [
    "COMPARED",
    "LOADS",
    "Figures",
    "Load",
    "Target",
    "idle",
    "never_read",
    "paced",
    "saturated",
]

Figures: TypeAlias = dict[str, float]
"""Figures by their names, which state the unit."""

BROADCAST: Final = Contender("broadcast")
SEND: Final = Contender("send")
SEND_TEN: Final = Contender("send", joined=10)
TAPECAST: Final = Contender("tapecast")
TAPECAST_TEN: Final = Contender("tapecast", joined=10)

RATE: Final = "k messages/s"
CPU_EACH: Final = "server µs/message"
CPU: Final = "server CPU, %"
P50: Final = "p50, ms"
P99: Final = "p99, ms"
WORSE: Final = "p99 to without, ratio"
HELD: Final = "held, KiB each"
CUT: Final = "cut after, s"
IDLE: Final = "KiB/client"

COMPARED: Final = frozenset({RATE, CPU_EACH, CPU, P50, P99, HELD, IDLE})
"""Figures of which tables give the ratio to the baseline."""


def saturated(contender: Contender, plan: Plan) -> Figures:
    """Publish as fast as all clients read."""
    found = run(contender, plan)
    return {
        RATE: found.delivered / found.wall_s / 1e3,
        CPU_EACH: found.cpu_s / found.delivered * 1e6,
        "client busy, %": found.client["cpu_ns"] / 1e7 / found.wall_s,
        "messages/read": found.delivered / found.client["reads"],
    }


def paced(contender: Contender, plan: Plan) -> Figures:
    """Publish one message at a time, so many a second."""
    found = run(contender, plan)
    return {
        P99: found.latency_ms("p99"),
        P50: found.latency_ms("p50"),
        "max, ms": found.latency_ms("max"),
        CPU: 100 * found.cpu_s / found.wall_s,
        RATE: found.delivered / found.wall_s / 1e3,
    }


def never_read(contender: Contender, plan: Plan) -> Figures:
    """Do so with and without clients that never read; those that read must not notice."""
    reading = plan.clients - plan.never_read
    without = run(contender, replace(plan, clients=reading, never_read=0))
    found = run(contender, plan)
    # Looking at queues takes time from the clients: latencies are those of a run without it.
    watched = run(contender, replace(plan, is_watched=True))
    cut = watched.server["cut"]
    figures = {
        P99: found.latency_ms("p99"),
        "p99 without, ms": without.latency_ms("p99"),
        WORSE: found.latency_ms("p99") / without.latency_ms("p99"),
        # Both peaks need not have been at one time: it is at most this.
        HELD: (watched.server["peak_pending_bytes"] + watched.kernel_bytes) / 1024,
        "of it kernel, KiB": watched.kernel_bytes / 1024,
        "server grown, MiB": (watched.rss_bytes[2] - watched.rss_bytes[1]) / 2**20,
        "kernel after the cut, KiB": watched.orphan_bytes / max(1, cut) / 1024,
        "cut": cut,
    }
    if watched.server["cut_s"] is not None:
        figures[CUT] = watched.server["cut_s"]
    return figures


def idle(contender: Contender, plan: Plan) -> Figures:
    """Let clients subscribe and publish nothing."""
    found = run(contender, replace(plan, per_s=0.0))
    listening, begun, _ = found.rss_bytes
    return {IDLE: (begun - listening) / plan.clients / 1024}


@dataclass(frozen=True)
class Target:
    """What a contender should reach.

    Attributes:
        figure: Which figure.
        limit: Its bound: the least if `is_least`, else the most.
        is_least: Which bound it is.
        of: A contender whose figure the bound is a multiple of; None if it stands for itself.
    """

    figure: str
    limit: float
    is_least: bool = False
    of: Contender | None = None

    def __str__(self) -> str:
        """Return it in words."""
        sign = "≥" if self.is_least else "≤"
        multiple = "" if self.of is None else f" times {self.of.name}"
        return f"{self.figure} {sign} {self.limit:g}{multiple}"

    def is_met(self, medians: Mapping[Contender, Figures], contender: Contender) -> bool | None:
        """Return whether the medians reach it; None if one of them was not measured."""
        value = medians.get(contender, {}).get(self.figure)
        base = 1.0 if self.of is None else medians.get(self.of, {}).get(self.figure)
        if value is None or base is None:
            return None
        return value >= self.limit * base if self.is_least else value <= self.limit * base


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load of the table.

    Attributes:
        title: What it is.
        measure: Makes the figures of one run.
        plan: What is asked for.
        contenders: Who takes part; each may have a plan that differs.
        targets: What `subject` should reach.
        subject: Whom the targets are for.
    """

    title: str
    measure: Callable[[Contender, Plan], Figures]
    plan: Plan
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    subject: Contender = TAPECAST
    slower: tuple[tuple[Contender, float], ...] = ()

    def plan_of(self, contender: Contender) -> Plan:
        """Return the plan for a contender, some of whom cannot take the whole rate."""
        return replace(self.plan, per_s=dict(self.slower).get(contender, self.plan.per_s))


_ALL: Final = (BROADCAST, SEND, SEND_TEN, TAPECAST, TAPECAST_TEN)

LOADS: Final[dict[str, Load]] = {
    "saturated-10": Load(
        title="Saturation, 10 clients",
        measure=saturated,
        plan=Plan(clients=10, seconds=2),
        contenders=_ALL,
        subject=TAPECAST_TEN,
    ),
    "saturated-100": Load(
        title="Saturation, 100 clients",
        measure=saturated,
        plan=Plan(clients=100, seconds=2),
        contenders=_ALL,
        targets=(
            Target(RATE, 1_200, is_least=True),
            Target(RATE, 8, is_least=True, of=BROADCAST),
        ),
        subject=TAPECAST_TEN,
    ),
    "saturated-1000": Load(
        title="Saturation, 1,000 clients",
        measure=saturated,
        plan=Plan(clients=1_000, seconds=3),
        contenders=_ALL,
        targets=(Target(RATE, 800, is_least=True),),
        subject=TAPECAST_TEN,
    ),
    "paced-100": Load(
        title="500 messages/s to 100 clients",
        measure=paced,
        plan=Plan(clients=100, seconds=5, per_s=500),
        contenders=(BROADCAST, SEND, TAPECAST),
        targets=(Target(P99, 0.8, of=BROADCAST), Target(CPU, 0.7, of=BROADCAST)),
    ),
    "paced-1000": Load(
        title="700 messages/s to 1,000 clients (broadcast 100 messages/s, send() loop 150)",
        measure=paced,
        plan=Plan(clients=1_000, seconds=60, per_s=700),
        contenders=(BROADCAST, SEND, TAPECAST),
        targets=(Target(P99, 30), Target(RATE, 690, is_least=True)),
        slower=((BROADCAST, 100), (SEND, 150)),
    ),
    "never-read": Load(
        title="500 messages/s to 1,000 clients, 200 of which never read (broadcast 80 messages/s)",
        measure=never_read,
        plan=Plan(clients=1_000, seconds=10, per_s=500, never_read=200),
        contenders=(BROADCAST, TAPECAST),
        targets=(Target(WORSE, 1.1), Target(HELD, 1_280), Target(CUT, 2.0)),
        slower=((BROADCAST, 80),),
    ),
    "idle": Load(
        title="1,000 clients, nothing published",
        measure=idle,
        plan=Plan(clients=1_000, seconds=0),
        contenders=(BROADCAST, TAPECAST),
        targets=(Target(IDLE, 16),),
    ),
}
"""Every load, by what the command line calls it."""
