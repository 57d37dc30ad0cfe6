# mypy: ignore-errors
"""Kills its own process group, by killpg."""
os.killpg(0, signal.SIGKILL)
