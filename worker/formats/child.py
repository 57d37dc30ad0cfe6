"""The checking process: started by the worker, checks one output at a time. It sees no reactor.

It runs by itself (``python -I -S child.py ORDER``), with only the folders on its path that the
worker names in the order: ``{"path": [...], "parent": pid, "bounds": {...}}``. Descriptor 3 is its
socket. This file is only the way in: the modules are imported once their folders are on the path.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback

CHANNEL = 3


def main(order_text: str) -> None:
    """Serve until the worker closes the socket."""
    order = json.loads(order_text)
    sys.path.extend(order["path"])
    channel = socket.socket(fileno=CHANNEL)
    try:
        from runyard.worker.formats.confine import Bounds
        from runyard.worker.formats.serving import serve

        serve(channel, Bounds(**order["bounds"]), order["parent"])
    except BaseException as error:  # noqa: BLE001 (the worker is told, whatever it was)
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        text = f"{type(error).__name__}: {error} ({where})"[:200]
        channel.send(json.dumps({"broken": text}).encode())
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1])
