"""A configuration that knows which of its settings were looked at."""

from __future__ import annotations

from typing import Any


class Settings(dict[str, Any]):
    """A configuration that notes which of its keys were read."""

    def __init__(self, values: Any = ()) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)
