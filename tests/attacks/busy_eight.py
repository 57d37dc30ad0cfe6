# mypy: ignore-errors
"""Uses the processor in eight processes for two seconds."""
main = os.getpid()
for _ in range(3):
    os.fork()
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
if os.getpid() != main:
    os._exit(0)
