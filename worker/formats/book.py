"""The formats that a worker knows: the built-in ones and its operator's, and their checker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.checked import Checked
from runyard.protocols.formats import BUILTIN, SCHEMA, Format
from runyard.worker.formats.checker import Checker
from runyard.worker.formats.folder import FormatsUnusable, load_formats
from runyard.worker.formats.verdicts import Verdict

log = Logger()


class FormatBook:
    """Checks outputs by the name of a format, or by the schema that came with the request.

    Raises:
        FormatsUnusable: the operator's folder cannot be used.
    """

    def __init__(self, checker: Checker, folder: Path | None) -> None:
        self.checker = checker
        self._folder = folder
        self._own = load_formats(folder) if folder is not None else {}

    @property
    def names(self) -> list[str]:
        """The names that requests may use here."""
        return [*BUILTIN, *self._own]

    def knows(self, wanted: Format) -> bool:
        """Whether outputs can be checked so here."""
        return wanted.name in BUILTIN or wanted.name in self._own or wanted.name == SCHEMA

    def check(self, wanted: Format, output: bytes) -> Deferred[Checked]:
        """Check an output; fails only by being cancelled."""
        known = wanted if wanted.schema is not None else self._own.get(wanted.name, wanted)
        return self.checker.check(known, output).addCallback(_checked)

    def reload(self, reactor: Any, changed: Callable[[], None]) -> None:
        """Read the operator's folder anew, in a thread; one that cannot be used changes nothing."""
        if self._folder is None:
            return
        pool = reactor.getThreadPool()
        reading = deferToThreadPool(reactor, pool, load_formats, self._folder)
        reading.addCallbacks(self._reloaded, _unusable, callbackArgs=(changed,))
        reading.addErrback(lambda failure: log.failure("the formats were not read", failure))

    def _reloaded(self, own: dict[str, Format], changed: Callable[[], None]) -> None:
        log.info("{count} formats were read anew", count=len(own))
        before, self._own = self._own, own
        if before.keys() != own.keys():
            changed()


def _unusable(failure: Failure) -> None:
    failure.trap(FormatsUnusable)
    log.error("{why}; the formats stay as they were", why=failure.getErrorMessage())


def _checked(verdict: Verdict) -> Checked:
    problems = tuple((each.path, each.message) for each in verdict.problems)
    return Checked(verdict.name, verdict.ok, problems, verdict.more, verdict.failed)
