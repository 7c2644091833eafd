"""Attacks: one file, or call, for each class of attack, and what must come of it.

`cases` holds them by format, each made by code when it is needed. `run` puts them into folders and has every one used
in a process of its own (`victim`), which reports what was raised or computed, what was opened, imported or run on the
way, and how much memory and time it took. tests/hostile/test_attacks.py judges that; `tools/attacks.py` prints it.

Nothing is imported here: the victim needs `uses` and `calls` alone, and none of the libraries that make the files.
"""
