# mypy: ignore-errors
"""Makes small files until a hundred thousand are there."""
made = 0
try:
    for made in range(100_000):
        os.close(os.open(f"f{made}", os.O_WRONLY | os.O_CREAT))
except OSError as error:
    stopped("at", made, error)
else:
    reached("made a hundred thousand files")
