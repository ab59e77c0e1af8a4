"""How a process of ours lives: start, signals, readiness, supervision, retries, clear endings."""
