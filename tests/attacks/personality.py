# mypy: ignore-errors
"""Changes its personality: no address randomisation, readable null page."""
def change():
    old = call("personality", 0xFFFFFFFF)
    call("personality", old | 0x0040000 | 0x0100000)
    if call("personality", 0xFFFFFFFF) == old:
        raise OSError("nothing changed")
    return "changed"
alone("personality", change)
