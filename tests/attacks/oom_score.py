# mypy: ignore-errors
"""Makes itself the last to go when memory runs out."""
attempt("oom_score_adj", write, "/proc/self/oom_score_adj", b"-1000")
attempt("a little lower", write, "/proc/self/oom_score_adj", b"0")
attempt("of the first process", write, "/proc/1/oom_score_adj", b"1000")
