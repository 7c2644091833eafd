"""Plans: a graph made ready to run, split into segments of the C core and host operators that NumPy runs."""
