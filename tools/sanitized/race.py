"""Two threads write one output at the same time, which nobody may: under ThreadSanitizer that is a report."""

import threading

import numpy as np

import lstm_engine as le

rng = np.random.default_rng(0)
model = le.Model([le.LSTM(rng.random((1, 128, 8), "f4"), rng.random((1, 128, 32), "f4"))])
x, out = rng.random((8, 200, 8), "f4"), np.empty((8, 200, 32), "f4")


def write() -> None:
    for _ in range(100):
        model.predict(x, out=out, threads=1)


threads = [threading.Thread(target=write) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
