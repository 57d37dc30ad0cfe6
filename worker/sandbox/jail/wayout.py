"""A task's way out: a socket that listens in its network namespace, and is served by the worker.

Made by the task's process before it is the task's, which keeps nothing of it. Standard library
only.
"""

from __future__ import annotations

import _socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runyard.worker.network import environment
    from runyard.worker.sandbox.jail import order as orders
    from runyard.worker.sandbox.jail import packets
else:
    import environment
    import packets

HOST = "127.0.0.1"
BACKLOG = 64


def make(channel: Any, order: orders.Order) -> None:
    """Make it where the order says so: hand it to the worker, add the variables that tell of it.

    Raises:
        OSError: there is no room for it, or the worker is gone.
    """
    if not order.network:
        return
    listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        listening.bind((HOST, 0))
        listening.listen(BACKLOG)
        port = listening.getsockname()[1]
        right = listening.fileno().to_bytes(packets.INT, sys.byteorder)
        channel.sendmsg(
            [b'{"listens": %d}' % port], [(packets.SOL_SOCKET, packets.SCM_RIGHTS, right)]
        )
    finally:
        listening.close()
    told = environment.environment(port).items()
    # First: a variable that the task has set itself comes after, and stands.
    order.env[:0] = [f"{name}={value}".encode() for name, value in told]
