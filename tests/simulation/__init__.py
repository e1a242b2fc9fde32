"""Whole runs from a seed: the real states, the real journal and the real codec in a world that is made up."""
