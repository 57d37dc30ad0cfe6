"""Work beside the reactor, on a pool of our own: the reactor's is for name resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(
    reactor: Any, pool: ThreadPool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """Call a function in the pool; fires with what it returns."""
    return deferToThreadPool(reactor, pool, function, *args, **kwargs)
