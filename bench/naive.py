"""The naive baseline: `getProcessOutput` a request. No isolation, no limit, no queue."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.utils import getProcessOutput
from twisted.web.http import Request
from twisted.web.server import Site


class Naive:
    """One route, as a first attempt would have it."""

    app = Klein()

    def __init__(self, python: str) -> None:
        self._python = python

    @app.route("/execute", methods=["GET"])
    @inlineCallbacks
    def execute(self, request: Request) -> Generator[Deferred[bytes], bytes, bytes]:
        """Run the code and give what it wrote."""
        code = request.args[b"code"][0].decode()
        output = yield getProcessOutput(self._python, ["-I", "-c", code])
        request.setHeader("Content-Length", str(len(output)))
        return output


class QuietSite(Site):
    """Writes no access log, as runyard writes none."""

    def log(self, request: Any) -> None:
        """Write nothing."""


def main() -> None:
    """Serve with the interpreter of the first argument; tell the URL once it is there."""

    def ready(port: IListeningPort) -> None:
        address = port.getHost()
        assert isinstance(address, IPv4Address)
        sys.stdout.write(f"ready http://{address.host}:{address.port}\n")
        sys.stdout.flush()

    site = QuietSite(Naive(sys.argv[1]).app.resource())
    TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site).addCallback(ready)
    reactor.run()


if __name__ == "__main__":
    main()
