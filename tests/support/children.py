"""What tests run in another process: a process started afresh finds it here by name, however pytest imports tests."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np

import lstm_engine as le

HANG = 600       # seconds after which something that should end has hung, however loaded the machine


def answer(model: le.Model, x: np.ndarray, connection: Any) -> None:
    """Send the bytes of what the model makes of x."""
    connection.send_bytes(model.predict(x, threads=2).tobytes())


def answer_of_a_child(method: str, model: le.Model, x: np.ndarray, ends: bool = True) -> bytes:
    """The bytes that a child process ("fork", "spawn", "forkserver") makes of x with the model. ends: it must end well,
    too; else it is killed once it has answered."""
    context = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=answer, args=(model, x, there), daemon=True)
    child.start()
    there.close()
    try:
        assert here.poll(HANG), f"the child of a {method} hangs"
        answered = here.recv_bytes()
        if ends:
            child.join(HANG)
            assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    return answered
