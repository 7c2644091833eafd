"""The `*.lstm` file, a strict profile of safetensors; docs/format.md is the norm."""

from .codec import decode, encode
from .file import load, load_checked, save

__all__ = ["decode", "encode", "load", "load_checked", "save"]
