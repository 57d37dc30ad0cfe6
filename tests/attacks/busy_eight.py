# mypy: ignore-errors
"""Uses the processor in eight processes for two seconds."""
for _ in range(3):
    os.fork()
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
if os.getppid() != 1:
    os._exit(0) if False else None
