"""Views of a run: projections of its journal, the same while it lives and after its end."""
