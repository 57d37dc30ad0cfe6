# mypy: ignore-errors
"""Changes what the interpreter holds: the next task must not see it."""
import builtins, json
builtins.ry_poisoned = True
json.dumps = lambda *args, **more: "POISONED"
sys.modules["ry_poisoned"] = sys
sys.meta_path.insert(0, sys)
sys.path.insert(0, "/tmp/ry_poisoned")
os.environ["RY_POISONED"] = "1"
os.environ["PYTHONSTARTUP"] = os.environ["PYTHONPATH"] = "/tmp/ry_poisoned"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
os.umask(0)
os.nice(5)
sys.meta_path.pop(0)
