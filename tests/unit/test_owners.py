"""Whether an array shares memory with earlier ones, told from what owns it."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_engine.arrays import Owners

WHOLE = np.arange(60, dtype=np.float32)
READ_ONLY = np.frombuffer(bytes(240), np.float32)
FOREIGN = np.asarray(memoryview(bytearray(240))).view(np.float32)


@pytest.mark.parametrize("given", [WHOLE, WHOLE[5:50], READ_ONLY, READ_ONLY[3:], FOREIGN], ids=lambda x: str(x.shape))
def test_views_share(given):
    owners = Owners([np.zeros(3), given])
    for view in (given, given[1:], given[:24].reshape(2, 3, 4).transpose(2, 0, 1), given.view(np.int32),
                 np.ndarray((3, 4), np.float32, given[2:], 0, (4, 8))):
        assert np.may_share_memory(view, given) and owners.share(view)


def test_copies_do_not():
    owners = Owners([WHOLE, READ_ONLY, FOREIGN])
    for array in (WHOLE.copy(), WHOLE[3:] + 1, READ_ONLY.reshape(6, 10).T.copy()[1:], np.concatenate([FOREIGN, WHOLE])):
        assert not owners.share(array) and not owners.share(array.reshape(-1)[1:])


def test_two_views_of_a_foreign_buffer():
    """Neither leads to the other."""
    buffer = bytearray(64)
    first, second = np.frombuffer(buffer, np.float32), np.frombuffer(memoryview(buffer)[16:], np.float32)
    assert Owners([first]).share(second)
    assert not Owners([first[:2]]).share(second[4:])
