"""A scheduler without links or sockets, asked through treq."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

from fakes import FakeRunner, a_worker
from treq import content
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.http import Api
from runyard.sched.roster import Roster
from runyard.sched.tickets import Tickets
from runyard.sched.web import BoundedSite

URL = "http://127.0.0.1"


class Stage:
    """A scheduler without links or sockets; what is sent to it is parsed by its own site."""

    def __init__(self, *, debug: bool = False, queue: int = 100) -> None:
        self.clock = Clock()
        self.roster = Roster(self.clock)
        self.tickets = Tickets(self.clock.seconds, 1000, 1000, 1 << 30)
        backlog = Backlog(queue, 1 << 30)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, backlog, self.roster, Settings(timing=Timing())
        )
        pool: Any = None
        api = Api(
            self.clock, pool, self.tickets, backlog, self.roster, self.dispatcher, debug=debug
        )  # fmt: skip
        self.agent = RequestTraversalAgent(api.app.resource())
        self.agent._serverFactory = BoundedSite(api.app.resource(), self.clock)
        self.client = HTTPClient(self.agent, data_to_body_producer=_SynchronousProducer)

    def worker(self, **more: Any) -> FakeRunner:
        worker, runner = a_worker(**more)
        self.roster.up(worker)
        return runner

    def send(self, method: str, path: str, **more: Any) -> Deferred[Any]:
        sent: Deferred[Any] = self.client.request(method, f"{URL}{path}", unbuffered=True, **more)
        self.agent.flush()
        return sent

    def answer(self, sent: Deferred[Any]) -> tuple[int, dict[str, str], bytes]:
        """Give (status, headers, body) of what must have been answered by now."""
        self.agent.flush()
        response: list[Any] = []
        sent.addBoth(response.append)
        assert response, "no answer yet"
        body: list[bytes] = []
        reading: Any = content(response[0])
        reading.addBoth(body.append)
        self.agent.flush()
        raw = response[0].headers.getAllRawHeaders()
        headers = {k.decode().lower(): v[0].decode() for k, v in raw}
        return response[0].code, headers, body[0]

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        return self.answer(self.send(method, path, **more))

    def post(self, **document: Any) -> Deferred[Any]:
        return self.send(
            "POST", "/execute", data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip


def get(code: str, **query: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/execute?code={quote_plus(code)}{more}"
