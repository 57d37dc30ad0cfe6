"""Many connections at once from several threads, with real tasks and a look at the lag beside."""

from __future__ import annotations

import selectors
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import requests
from attrs import define, field
from byte_corpus import Request
from byte_wire import Broken, Exchange, plan
from harness import System, eventually

THREADS = 8
IN_FLIGHT = 8
ENOUGH = 5
"""Findings after which it stops."""
ANSWER_S = 5.0
LOOK_S = 20.0


@define
class Storm:
    """What is sent, what was seen, and what was wrong."""

    runyard: System
    seed: int
    requests: list[Request]
    ends: Counter[str] = field(factory=Counter)
    statuses: Counter[int] = field(factory=Counter)
    findings: list[str] = field(factory=list)
    tasks: list[float] = field(factory=list)
    lags: list[float] = field(factory=list)
    own_lags: list[float] = field(factory=list)
    _until: float = 0.0

    def run(self, seconds: float, phase: str) -> None:
        """Send for so long."""
        self._until = time.monotonic() + seconds
        with ThreadPoolExecutor(THREADS + 2) as pool:
            under_way = [pool.submit(self._send, f"{phase}{n}") for n in range(THREADS)]
            under_way += [pool.submit(self._work), pool.submit(self._watch)]

            def over() -> bool:
                self.runyard.daemon.read()  # or its log would fill the pipe and hold it
                return all(each.done() for each in under_way)

            eventually("the senders are done", over, seconds + 120)
            for each in under_way:
                each.result()

    def replay(self, key: str) -> None:
        """Send one case once."""
        with selectors.DefaultSelector() as selector:
            self._start(selector, key)
            while selector.get_map():
                self._turn(selector)

    @property
    def _on(self) -> bool:
        return time.monotonic() < self._until and len(self.findings) < ENOUGH

    def _send(self, name: str) -> None:
        number = 0
        with selectors.DefaultSelector() as selector:
            while self._on or selector.get_map():
                while self._on and len(selector.get_map()) < IN_FLIGHT:
                    self._start(selector, f"{name}/{number}")
                    number += 1
                self._turn(selector)

    def _start(self, selector: selectors.BaseSelector, key: str) -> None:
        parts = urlsplit(self.runyard.url)
        address = (str(parts.hostname), parts.port or 0)
        exchange = Exchange.start(plan(self.seed, key, self.requests), address)
        selector.register(exchange.socket, exchange.events, exchange)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        masks = {key.fd: mask for key, mask in selector.select(0.5)}
        for key in list(selector.get_map().values()):
            exchange: Exchange = key.data
            before = exchange.events
            exchange.step(masks.get(key.fd, 0))
            if exchange.end:
                selector.unregister(exchange.socket)
                self._judge(exchange)
            elif exchange.events != before:
                selector.modify(exchange.socket, exchange.events, exchange)

    def _judge(self, exchange: Exchange) -> None:
        self.ends[f"{exchange.plan.ending}: {exchange.end}"] += 1
        wrong = exchange.complaint()
        if wrong is not None:
            self.findings.append(f"{wrong}\n{exchange}")
            return
        try:
            self.statuses.update(exchange.answers()[0])
        except Broken:
            return

    def _work(self) -> None:
        with requests.Session() as session:
            while self._on:
                number = len(self.tasks)
                fields = {"code": f"print('token', {number})"}
                began = time.monotonic()
                if number % 2:
                    answer = session.get(f"{self.runyard.url}/execute", params=fields, timeout=60)
                    came = answer.text
                else:
                    answer = session.post(f"{self.runyard.url}/execute", json=fields, timeout=60)
                    came = str(answer.json().get("stdout"))
                took = time.monotonic() - began
                self.tasks.append(took)
                if came != f"token {number}\n" or took > ANSWER_S:
                    told = f"{answer.status_code} {dict(answer.headers)}\n{answer.text[:2000]}"
                    self.findings.append(f"plain task {number} after {took:.2f} s: {told}")

    def _watch(self) -> None:
        while self._on:
            wait = max(0.1, min(LOOK_S, self._until - time.monotonic()))
            url = f"{self.runyard.debug_url}/debug/lag?wait={wait:g}"
            lag = requests.get(url, timeout=60).json()
            self.lags.append(float(lag["worst_ms"]))
            self.own_lags.append(float(lag["worst_own_ms"]))

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.ends.total()} connections, {len(self.tasks)} plain tasks"
            f" (worst {max(self.tasks, default=0):.2f} s), lag {max(self.lags, default=0):.0f} ms"
            f" (its own part {max(self.own_lags, default=0):.0f} ms)\n{sorted(self.ends.items())}\n"
            f"{sorted(self.statuses.items())}"
        )
