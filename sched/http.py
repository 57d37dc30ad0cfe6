"""The HTTP API: read, admit, submit, render. One class serves both ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from attrs import evolve
from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from runyard.daemon.lag import measure_lag
from runyard.daemon.threads import in_thread
from runyard.daemon.waiting import within
from runyard.protocols.formats import BUILTIN
from runyard.protocols.ids import TASK_ID
from runyard.protocols.tasks import Reason, State
from runyard.sched.admission import Admitted, Policy, admit_body, admit_query
from runyard.sched.answers import Answer, answer_json, answer_refusal, answer_text, wants_json
from runyard.sched.backlog import Backlog, Full
from runyard.sched.dispatcher import Dispatcher, Draining
from runyard.sched.documents import document_status, task_document
from runyard.sched.errors import Kind, Refusal, malformed
from runyard.sched.exchange import no_path, no_query, not_allowed, prefers_async, send, wait_seconds
from runyard.sched.fleet import (
    choices_document,
    fleet_document,
    queue_document,
    scores_document,
)
from runyard.sched.jsontext import LARGE_BYTES, dump_json
from runyard.sched.limits import LimitPolicy
from runyard.sched.pages import Pages
from runyard.sched.results import result_answer
from runyard.sched.roster import Roster
from runyard.sched.tickets import Ticket, Tickets
from runyard.sched.web import BoundedRequest

RETRY_AFTER_S = 5
KNOWN_RUNTIMES = frozenset({"python"})

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()


class Api:
    """The routes, over the states controller.

    Args:
        debug: Whether answers tell the time of each hop.
        max_wait: Seconds that a waiting call is held.
        confirm: Seconds that a cancel may take until it is answered with 202.
    """

    app = Klein()
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False

    def __init__(
        self,
        clock: IReactorTime,
        pool: ThreadPool,
        tickets: Tickets,
        backlog: Backlog,
        roster: Roster,
        dispatcher: Dispatcher,
        *,
        debug: bool,
        max_wait: float = 300.0,
        confirm: float = 5.0,
        limits: LimitPolicy | None = None,
        network_default: bool = False,
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._tickets = tickets
        self._backlog = backlog
        self._roster = roster
        self._dispatcher = dispatcher
        self._debug = debug
        self._pages = Pages()
        self._max_wait = max_wait
        self._confirm = confirm
        self._limits = limits or LimitPolicy()
        self._network_default = network_default

    @app.route("/execute", methods=["GET", "POST"])
    async def execute(self, request: BoundedRequest) -> bytes:
        """Run a program and answer with what happened."""
        if request.method not in (b"GET", b"POST"):
            raise not_allowed("GET, POST")
        received = self._clock.seconds()
        if request.getHeader("idempotency-key") is not None:
            raise malformed("Idempotency-Key", "a key", "not supported yet")
        admitted = await self._admit(request)
        if not admitted.wait or prefers_async(request):
            admitted = evolve(admitted, wait=False, task=admitted.task.kept())
        ticket = self._submit(admitted)
        ticket.marks["received"] = received
        if not admitted.wait:
            return await self._send_ticket(request, ticket, status=202)
        await self._wait_as_owner(ticket)
        if request.method == b"GET" and not wants_json(request.getHeader("accept")):
            return send(request, answer_text(ticket, debug=self._debug))
        return await self._send_ticket(request, ticket)

    @app.route("/tasks/<task_id>", methods=["GET"])
    async def task(self, request: BoundedRequest, task_id: str) -> bytes:
        """Tell where a task is; ``?wait=SECONDS`` holds until it is finished."""
        ticket = self._find(task_id)
        seconds = wait_seconds(request)
        if seconds:
            await within(self._clock, ticket.wait(), seconds)
        return await self._send_ticket(request, ticket, status=200)

    @app.route("/tasks/<task_id>", methods=["DELETE"])
    async def cancel(self, request: BoundedRequest, task_id: str) -> bytes:
        """Cancel a task; answers when it has really ended, or 202 when that is not confirmed."""
        no_query(request)
        ticket = self._find(task_id)
        self._dispatcher.stop(ticket, Reason.ASKED)
        finished = await within(self._clock, ticket.wait(), self._confirm * 2)
        confirmed = finished and ticket.ended is not None and ticket.ended.confirmed
        return await self._send_ticket(request, ticket, status=200 if confirmed else 202)

    @app.route("/tasks/<task_id>/<any(stdout, stderr, files):what>", methods=["GET"])
    def result(self, request: BoundedRequest, task_id: str, what: str) -> bytes:
        """Give the bytes that a finished task wrote, to a stream or to a file."""
        return send(request, result_answer(self._find(task_id), what, request.rest))

    @app.route("/workers", methods=["GET"])
    def workers(self, request: BoundedRequest) -> bytes:
        """List the workers that are linked now, and the addresses that are not."""
        ahead = self._tickets.now() - self._clock.seconds()
        document = fleet_document(self._roster, self._roster.unreachable, ahead)
        return send(request, answer_json(document))

    @app.route("/<any(runtimes, formats):what>", methods=["GET"])
    def offered(self, request: BoundedRequest, what: str) -> bytes:
        """List the languages, or the formats, that requests may name."""
        names = sorted(self._roster.runtimes_seen) if what == "runtimes" else list(self._formats())
        return send(request, answer_json({what: names}))

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: BoundedRequest) -> bytes:
        """Say that the process lives."""
        return send(request, answer_json({"status": "ok"}))

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: BoundedRequest) -> bytes:
        """Say whether work is taken, and if not, why."""
        reasons = []
        if self._dispatcher.draining:
            reasons.append("the scheduler is stopping")
        if not any(worker.takes_work for worker in self._roster):
            reasons.append("no worker is linked that takes work")
        status = {"status": "unready", "reasons": reasons} if reasons else {"status": "ready"}
        return send(request, answer_json(status, 503 if reasons else 200))

    @app.route("/", methods=["GET"], defaults={"name": "index.html"})
    @app.route("/page/<name>", methods=["GET"])
    def page(self, request: BoundedRequest, name: str) -> bytes:
        """Serve the web page and its files."""
        answer = self._pages.get(name)
        if answer is None:
            raise no_path()
        return send(request, answer)

    @app.route("/debug/<any(counts, roster, choices, queue):view>", methods=["GET"])
    def debug_view(self, request: BoundedRequest, view: str) -> bytes:
        """Show what is under way and why it went where it went (debug server)."""
        if not self._debug:
            raise no_path()
        now = self._clock.seconds()
        if view == "counts":
            document: dict[str, Any] = dict(self._dispatcher.counts())
        elif view == "roster":
            document = scores_document(self._roster, self._tickets.now() - now)
        elif view == "choices":
            document = choices_document(self._dispatcher.choices)
        else:
            document = queue_document(self._backlog, now)
        return send(request, answer_json(document))

    @app.route("/debug/lag", methods=["GET"])
    async def lag(self, request: BoundedRequest) -> bytes:
        """Watch for ``?wait=SECONDS`` how long the reactor keeps others waiting (debug server)."""
        if not self._debug:
            raise no_path()
        seconds = wait_seconds(request) or 1.0
        return send(request, answer_json(await measure_lag(self._clock, seconds)))

    @app.handle_errors(Refusal)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """Render a refusal."""
        return self._refuse(request, cast(Refusal, failure.value))

    @app.handle_errors(HTTPException)
    def routed_nowhere(self, request: IRequest, failure: Failure) -> bytes:
        """Render what the routing found out: no such path, no such method."""
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            allowed = set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}
            return self._refuse(request, not_allowed(", ".join(sorted(allowed))))
        if isinstance(error, NotFound):
            return self._refuse(request, no_path())
        log.failure("a request was routed nowhere", failure)
        return self._refuse(request, Refusal(Kind.MALFORMED, "the path cannot be understood"))

    @app.handle_errors(Exception)
    def broken(self, request: IRequest, failure: Failure) -> bytes:
        """Render a fault of our own, without its text."""
        log.failure("a request failed", failure)
        return self._refuse(request, Refusal(Kind.INTERNAL, "see the scheduler's log"))

    def _refuse(self, request: IRequest, refusal: Refusal) -> bytes:
        request = cast(BoundedRequest, request)
        execute = request.path == b"/execute" and request.method == b"GET"
        as_text = execute and not wants_json(request.getHeader("accept"))
        return send(request, answer_refusal(refusal, as_text=as_text))

    async def _admit(self, request: BoundedRequest) -> Admitted:
        runtimes = frozenset(self._roster.runtimes_seen) or KNOWN_RUNTIMES
        network = self._roster.network_seen or not self._roster.runtimes_seen
        default = self._network_default
        policy = Policy(runtimes, self._formats(), self._limits, network, default)
        query = request.query
        if request.method == b"GET":
            return await self._maybe_in_thread(len(query), admit_query, query, policy)
        body: bytes = request.content.getvalue()  # no copy
        size, media = len(body) + len(query), request.getHeader("content-type")
        return await self._maybe_in_thread(size, admit_body, body, media, query, policy)

    def _formats(self) -> tuple[str, ...]:
        own = sorted(self._roster.formats_seen - set(BUILTIN))
        return (*BUILTIN, *own)

    async def _maybe_in_thread(
        self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what is large beside the reactor, and what is small at once."""
        if size <= LARGE_BYTES:
            return function(*args, **kwargs)
        return await in_thread(self._clock, self._pool, function, *args, **kwargs)

    def _submit(self, admitted: Admitted) -> Ticket:
        try:
            return self._dispatcher.submit(admitted.task)
        except (Full, Draining) as error:
            retry = (("Retry-After", str(RETRY_AFTER_S)),)
            raise Refusal(Kind.UNAVAILABLE, str(error), headers=retry) from None

    def _find(self, task_id: str) -> Ticket:
        ticket = self._tickets.get(task_id) if TASK_ID.fullmatch(task_id) else None
        if ticket is None:
            raise Refusal(Kind.NOT_FOUND, "there is no task of this id (any more)")
        return ticket

    async def _wait_as_owner(self, ticket: Ticket) -> None:
        """Wait for a task that is cancelled when the last who waits like this hangs up."""
        ticket.owners += 1
        try:
            finished = await within(self._clock, ticket.wait(), self._max_wait)
        except CancelledError:
            if ticket.owners == 1 and not ticket.kept:
                self._dispatcher.stop(ticket, Reason.HUNG_UP)
            raise
        finally:
            ticket.owners -= 1
        if not finished:
            ticket.kept = True
            where = f"/tasks/{ticket.task.id}"
            text = f"it goes on; ask for {where}"
            raise Refusal(Kind.WAITED_TOO_LONG, text, headers=(("Location", where),))

    async def _send_ticket(
        self, request: BoundedRequest, ticket: Ticket, status: int | None = None
    ) -> bytes:
        pending = ticket.state is State.PENDING
        position = self._backlog.position(ticket) if pending else None
        ended = ticket.ended
        size = len(ended.stdout) + len(ended.stderr) if ended is not None else 0
        body = await self._maybe_in_thread(size, self._document, ticket, position)
        status = document_status(ended) if status is None else status
        return send(request, Answer.of_ticket(ticket, status, body, "application/json"))

    def _document(self, ticket: Ticket, position: int | None) -> bytes:
        return dump_json(task_document(ticket, position, debug=self._debug))
