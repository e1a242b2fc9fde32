"""``python -m jobtree`` is the command line."""

from jobtree.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
