"""How files of torch begin and what its objects are: told without reading either."""

from __future__ import annotations

from ...reading.safetensors import begins_safetensors
from ...reading.zip_archive import first_records
from .json_state import begins_json_state
from .shards import begins_index

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
MAGIC = MAGIC_NUMBER.to_bytes(10, "little")            # as the first pickle of a legacy file has it
# What torch has written first: torch.save, its older versions, torch.jit.save and torch.export.save.
_FIRST = (b"/data.pkl", b"/data/0", b"/data/weights/weight_0", b"/data/weights/model_weights_config.json",
          b"serialized_exported_program.json")


def knows(head: bytes) -> bool:
    """Whether a file that begins so is torch's: by the legacy magic number, the first records of a zip, or as
    safetensors and the indices of weights in several files begin."""
    return MAGIC in head[:32] or any(name.endswith(_FIRST) for name in first_records(head)) \
        or begins_safetensors(head) or begins_index(head) or begins_json_state(head)


def is_torch(source: object, name: str) -> bool:
    """Whether a class called `name` of torch is among the object's classes."""
    return any(kind.__name__ == name and kind.__module__.partition(".")[0] == "torch" for kind in type(source).__mro__)
