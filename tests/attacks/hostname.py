# mypy: ignore-errors
"""Names the machine anew."""
import socket
alone("sethostname", socket.sethostname, "ry-evil")
alone("setdomainname", lambda: checked(libc.setdomainname(b"ry-evil", 7)))
