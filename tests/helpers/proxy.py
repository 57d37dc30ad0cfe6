"""A network between a scheduler and a worker that misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

PIECE = 64 * 1024
ANSWER_S = 10.0

Direction = Literal["to_worker", "to_scheduler"]
BOTH: tuple[Direction, ...] = ("to_worker", "to_scheduler")

T = TypeVar("T")


class Reserved:
    """A port of loopback that is ours while nobody listens there.

    A socket that is bound and never listens keeps the number from everybody who asks for any free
    one; who names it, with SO_REUSEADDR, may listen there.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class Way:
    """One direction of the network."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.drops = False
        self.open = asyncio.Event()
        self.open.set()


class Stream:
    """A connection's bytes in one direction; its end goes the same way as they do."""

    def __init__(self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self.lost_bytes = False
        self._way = way
        self._source = source
        self._sink = sink
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

    async def run(self) -> None:
        """Carry everything until the end of one side or the other."""
        reading = asyncio.ensure_future(self._read())
        try:
            await self._write()
        finally:
            reading.cancel()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        data = b"more"
        while data:
            try:
                data = await self._source.read(PIECE)
            except OSError:
                data = b""
            await self._queue.put((loop.time() + self._way.delay, data))

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._queue.get()
            await asyncio.sleep(due - loop.time())
            if self._way.drops and not self._way.open.is_set():
                self.lost_bytes = True
                continue
            await self._way.open.wait()
            if not data:
                return
            self._sink.write(data)
            try:
                await self._sink.drain()
            except OSError:
                return


class Proxy:
    """Carries TCP connections to a worker's port, in a thread of its own.

    What a silent direction holds arrives when the network heals, as TCP sends it again; a
    connection of which it has dropped bytes is cut then, since no TCP goes on behind a gap.
    """

    def __init__(self, worker_port: int) -> None:
        self._reserved = Reserved()
        self.port = self._reserved.number
        self.connections = 0
        self._worker_port = worker_port
        self._live: dict[asyncio.Task[None], tuple[list[asyncio.StreamWriter], list[Stream]]] = {}
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._ways: dict[Direction, Way] = self._call(lambda: {each: Way() for each in BOTH})
        self.accept()

    def cut(self) -> None:
        """Break every connection, as by a reset; new ones are taken."""
        self._call(self._cut)

    def silence(self, *directions: Direction, drop: bool = False) -> None:
        """Let nothing pass in these directions, of old connections and of new ones."""
        self._call(lambda: self._silence(directions, drop))

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Let everything take so long in these directions."""
        self._call(lambda: self._delay(seconds, directions))

    def refuse(self) -> None:
        """Take no new connection."""
        self._await(self._stop_listening)

    def accept(self) -> None:
        """Take new connections."""
        self._await(self._listen)

    def heal(self) -> None:
        """Let everything pass again."""
        self._call(self._heal)
        self.accept()

    def close(self) -> None:
        """Cut everything and end the thread."""
        self._call(self._cut)
        self._await(self._ended)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S)
        self._loop.close()
        self._reserved.close()

    def _call(self, function: Callable[[], T]) -> T:
        """Have something done in the thread, and wait until it is."""

        async def called() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(ANSWER_S)

    def _await(self, function: Callable[[], object]) -> None:
        async def called() -> None:
            made = function()
            if asyncio.iscoroutine(made):
                await made

        asyncio.run_coroutine_threadsafe(called(), self._loop).result(ANSWER_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._carry, "127.0.0.1", self.port, reuse_address=True
            )

    async def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _ended(self) -> None:
        await self._stop_listening()
        for task in list(self._live):
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)

    def _silence(self, directions: tuple[Direction, ...], drop: bool) -> None:
        for each in directions:
            self._ways[each].drops = drop
            self._ways[each].open.clear()

    def _delay(self, seconds: float, directions: tuple[Direction, ...]) -> None:
        for each in directions:
            self._ways[each].delay = seconds

    def _heal(self) -> None:
        for writers, streams in self._live.values():
            if any(stream.lost_bytes for stream in streams):
                _abort(writers)
        for way in self._ways.values():
            way.delay, way.drops = 0.0, False
            way.open.set()

    def _cut(self) -> None:
        for task, (writers, _) in list(self._live.items()):
            _abort(writers)
            task.cancel()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection; its worker's end is dialled first."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        writers, streams = self._live[task] = [writer], []
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self._worker_port)
            writers.append(outer)
            streams.append(Stream(self._ways["to_worker"], reader, outer))
            streams.append(Stream(self._ways["to_scheduler"], inner, writer))
            running = [asyncio.ensure_future(stream.run()) for stream in streams]
            try:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in running:
                    way.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # nobody there, or cut
        finally:
            self._live.pop(task, None)
            for end in writers:
                end.close()


def _abort(writers: list[asyncio.StreamWriter]) -> None:
    for each in writers:
        each.transport.abort()


@contextlib.contextmanager
def proxied(worker_port: int) -> Iterator[Proxy]:
    """Have a proxy for a while."""
    proxy = Proxy(worker_port)
    try:
        yield proxy
    finally:
        proxy.close()
