"""What the files of a Hugging Face folder are called."""

from __future__ import annotations

CONFIG = "config.json"
INDEX = ".index.json"
SINGLE = ("model.safetensors", "pytorch_model.bin")         # in the order in which from_pretrained looks for them
WEIGHTS = frozenset((*SINGLE, *(f"{name}{INDEX}" for name in SINGLE)))
