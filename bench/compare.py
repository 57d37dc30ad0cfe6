"""Runyard beside the naive baseline: alternating in one run, so that their ratio holds anywhere.

Absolute figures are the machine's of this minute; read the ratio. Both servers run an interpreter a
request; runyard also keeps the tasks apart, bounds them and sees to their end.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from load import Measured, drive
from servers import Server, both

WARM_UP = 8

Figures = dict[str, float]


def measure(server: Server, clients: int, requests: int) -> tuple[Measured, float]:
    """Run one phase; give what the client saw and the CPU ms of each run."""
    before = server.cpu_ms()
    measured = drive(server.url, clients, requests)
    if measured.wrong:
        text = measured.example.decode("utf-8", "replace")
        print(f"{server.name}: {measured.wrong} wrong answers, the first:\n{text}", file=sys.stderr)
    return measured, (server.cpu_ms() - before) / requests


def sequential(server: Server, options: argparse.Namespace) -> tuple[Figures, int]:
    """One connection, one request after the other."""
    seen, cpu = measure(server, 1, options.sequential)
    return {
        "sequential p50 ms": seen.percentile(50),
        "sequential p95 ms": seen.percentile(95),
        "sequential min ms": min(seen.latencies),
        "sequential CPU ms/run": cpu,
    }, seen.wrong


def concurrent(server: Server, options: argparse.Namespace) -> tuple[Figures, int]:
    """Many connections at a time."""
    seen, cpu = measure(server, options.clients, options.concurrent)
    name = f"{options.clients} clients"
    return {
        f"{name} requests/s": seen.rate,
        f"{name} p95 ms": seen.percentile(95),
        f"{name} CPU ms/run": cpu,
    }, seen.wrong


def rounds(
    servers: tuple[Server, Server], options: argparse.Namespace
) -> tuple[list[tuple[Figures, Figures]], list[int]]:
    """Measure all rounds; give the figures of (naive, runyard) of each, and their wrong answers."""
    wrong = [0, 0]
    found = []
    for server in servers:
        drive(server.url, options.clients, max(WARM_UP, options.clients))
    for number in range(options.rounds):
        figures: tuple[Figures, Figures] = ({}, {})
        for phase in (sequential, concurrent):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                seen, faults = phase(servers[which], options)
                figures[which].update(seen)
                wrong[which] += faults
        found.append(figures)
    return found, wrong


def table(found: list[tuple[Figures, Figures]]) -> str:
    """Give the medians over the rounds; the ratio is the median of each round's own."""
    lines = [f"{'':26}{'naive':>10}{'runyard':>10}{'ratio':>8}{'min..max':>14}"]
    for name in found[0][0]:
        naive, runyard = ([pair[which][name] for pair in found] for which in (0, 1))
        ratios = [b / a if a else float("nan") for a, b in zip(naive, runyard, strict=True)]
        lines.append(
            f"{name:26}{statistics.median(naive):10.1f}{statistics.median(runyard):10.1f}"
            f"{statistics.median(ratios):8.2f}{min(ratios):8.2f}..{max(ratios):.2f}"
        )
    return "\n".join(lines)


def whole(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> int:
    """Compare; 1 when any answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=whole, default=6)
    parser.add_argument("--sequential", type=whole, default=60, help="requests a round")
    parser.add_argument("--concurrent", type=whole, default=160, help="requests a round")
    parser.add_argument("--clients", type=whole, default=32, help="connections of the second phase")
    parser.add_argument("--option", action="append", default=[], help="of runyard's scheduler")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwind, so that both servers end
    began = time.monotonic()
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="runyard-bench-") as folder,
        both(Path(folder), options.option) as (naive, runyard, python),
    ):
        found, wrong = rounds((naive, runyard), options)
    print(
        f"{options.rounds} rounds of {options.sequential} + {options.concurrent} requests each,"
        f" tasks on {python}, {os.cpu_count()} cores, load {load:.1f} -> {os.getloadavg()[0]:.1f},"
        f" {time.monotonic() - began:.0f} s\n"
    )
    print(table(found))
    print(f"{'wrong answers':26}{wrong[0]:10}{wrong[1]:10}")
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
