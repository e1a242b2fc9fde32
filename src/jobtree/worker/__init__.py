"""The worker: a supervisor that always answers, and the processes that run users' code for it."""
