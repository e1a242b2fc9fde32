"""The journal: everything a master must remember, on disk before anyone is told. See docs/journal.md."""
