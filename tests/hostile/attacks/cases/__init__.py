"""All attacks, a module for each format."""

from __future__ import annotations

from ..attack import Attack
from . import lstm

TABLES = tuple(module.TABLE for module in (lstm,))
ATTACKS: dict[str, Attack] = {attack.key: attack for table in TABLES for attack in table.attacks}
assert len(ATTACKS) == sum(len(table.attacks) for table in TABLES), "two attacks of one format have the same name"
