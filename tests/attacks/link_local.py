# mypy: ignore-errors
"""Asks for the metadata address and others that are not of the public network; sends nothing."""
import socket
def route(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.connect((address, 9))
        return made.getsockname()
for address in ("169.254.169.254", "10.0.0.1", "192.168.0.1", "172.17.0.1", "192.0.2.1"):
    attempt(address, route, address)
