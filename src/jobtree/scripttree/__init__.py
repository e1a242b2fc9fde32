"""The API of old jobTree scripts, on the engine of today: change a script's import lines, and it runs (docs/migration.md)."""
