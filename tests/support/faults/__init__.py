"""Faults by injection: a shim before libc (shim.c, control.py), what is done under faults (operations.py), how an
outcome is judged (judge.py), the process that goes through the points (points.py), and the campaigns (campaigns.py)."""
