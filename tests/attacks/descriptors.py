# mypy: ignore-errors
"""Opens all the descriptors that it may, and keeps pipes full."""
count = 0
pipes = []
try:
    while count < 200_000:
        pipes.append(os.pipe())
        count += 2
except OSError as error:
    stopped("at", count, error)
else:
    reached("has", count, "descriptors")
filled = 0
for _, writing in pipes[:2000]:
    os.set_blocking(writing, False)
    try:
        filled += os.write(writing, b"x" * 65536)
    except OSError:
        break
say("filled", filled)
