"""Whole modules, live or pickled, known by the names of their classes."""
