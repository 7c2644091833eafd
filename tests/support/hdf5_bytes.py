"""HDF5 files that lead out of themselves or lie: one dataset of a good file is replaced."""

from __future__ import annotations

import io
from collections.abc import Callable

import h5py
import numpy as np
from keras_files import h5_bytes, random
from keras_hostile import ARRAYS, H

KERNEL = "layers/dense/vars/0"
Change = Callable[[h5py.File], None]


def h5_with(change: Change, without: str = KERNEL) -> bytes:
    """The weights of the good Keras file, with `change` made of the file that lacks one dataset."""
    buffer = io.BytesIO(h5_bytes(ARRAYS))
    with h5py.File(buffer, "r+") as file:
        del file[without]
        change(file)
    return buffer.getvalue()


def external_link(file: h5py.File) -> None:
    file[KERNEL] = h5py.ExternalLink("/etc/other.h5", "/data")


def soft_link(file: h5py.File) -> None:
    file[KERNEL] = h5py.SoftLink("/layers/dense/vars/1")


def external_storage(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (H, 2), "f4", external=[("/etc/passwd", 0, 24)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((H, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (H, 2))
    file.create_virtual_dataset(KERNEL, layout)


def cycle(file: h5py.File) -> None:
    file["layers/dense/vars/loop"] = file["layers"]


def alias(file: h5py.File) -> None:
    file["layers/other"] = file["layers/lstm"]


def declared(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


def never_stored(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 10, 1 << 10), "f4")


def large_chunk(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (H, 2), "f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None), compression="gzip")


def many_shares(file: h5py.File) -> None:
    data = file.create_dataset(KERNEL, data=np.zeros(1 << 18, np.float32))
    for number in range(500):
        file[f"layers/dense/vars/{number + 2}"] = data


def unknown_filter(file: h5py.File) -> None:
    """HDF5 would look for a plug-in library to load."""
    file.create_dataset(KERNEL, data=random(4, H, 2), chunks=(H, 2), scaleoffset=4)


def text(file: h5py.File) -> None:
    file[KERNEL] = "a text"


def strings(file: h5py.File) -> None:
    file.create_dataset(KERNEL, data=["a", "b"], dtype=h5py.string_dtype())


def nothing(file: h5py.File) -> None:
    file[KERNEL] = h5py.Empty("f4")


def compound(file: h5py.File) -> None:
    file[KERNEL] = np.zeros((H, 2), [("a", "f4"), ("b", "f4")])


def datatype(file: h5py.File) -> None:
    file[KERNEL] = np.dtype("f4")


def deep(file: h5py.File) -> None:
    file["/".join(["layers", *["x"] * 100])] = np.zeros(1)
