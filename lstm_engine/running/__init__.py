"""Running a plan: what comes in, the runs bound to its shapes, and what goes out; whole, in parts, or step by step.

Each is loaded when it is first used: calls of a model that is one segment (`direct`) need nothing of the rest.
"""
