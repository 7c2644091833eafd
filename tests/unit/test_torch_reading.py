"""Every kind of torch file against what torch itself loads from it."""

from __future__ import annotations

import argparse
import io
import pathlib
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_bytes import archive, checkpoint, items, listed, mapping, tensor, text, write  # noqa: E402

from lstm_engine.errors import FileError, FormatError, UnsupportedError  # noqa: E402
from lstm_engine.importers.torch.checkpoints.files import open_weights  # noqa: E402


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(4, 3, num_layers=2, batch_first=True)
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def read(path):
    with open_weights(path) as weights:
        return {name: weights.take(name) for name in weights.names}


def same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == (np.float64 if value.dtype == torch.float64 else np.float32)
        np.testing.assert_array_equal(found[name], value.detach().double().numpy(), strict=False)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 3},
                                     {"pickle_protocol": 4}, {"pickle_protocol": 5},
                                     {"_use_new_zipfile_serialization": False, "pickle_protocol": 4}], ids=str)
def test_state_dicts(net, tmp_path, options):
    torch.save(net.state_dict(), tmp_path / "a.pt", **options)
    same(read(tmp_path / "a.pt"), net.state_dict())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [
    lambda sd: {"state_dict": sd, "epoch": 3},
    lambda sd: {"epoch": torch.tensor(3), "model_state_dict": sd, "loss": torch.tensor(0.5)},
    lambda sd: {"model": {"state_dict": sd}},
    lambda sd: {"my_favourite": sd, "note": "the only entry with tensors", "optim": None},
    lambda sd: {"module." + name: value for name, value in sd.items()},
    lambda sd: {"state_dict": {"module._orig_mod." + name: value for name, value in sd.items()}},
    lambda sd: OrderedDict((name, torch.nn.Parameter(value)) for name, value in sd.items()),
    lambda sd: {"net": sd, "args": argparse.Namespace(lr=0.1), "path": pathlib.Path("x")},
    lambda sd: {"model": sd, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
                "lr_scheduler": {"x": torch.ones(2)}, "rng_state": torch.zeros(8, dtype=torch.uint8)},
], ids=["state_dict", "counters", "twice", "single", "module", "compiled", "parameters", "namespace", "optimizer"])
def test_nested_checkpoints(net, tmp_path, wrap, legacy):
    torch.save(wrap(net.state_dict()), tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    same(read(tmp_path / "a.pt"), net.state_dict())


def test_tensors_beside_the_model_keep_their_full_names(net, tmp_path):
    torch.save({"model": net.state_dict(), "ema": {"w": torch.ones(2)}, "mean": torch.zeros(4)}, tmp_path / "a.pt")
    same(read(tmp_path / "a.pt"), net.state_dict() | {"mean": torch.zeros(4), "ema.w": torch.ones(2)})


@pytest.mark.parametrize("key", ["optimizer", "optimizer_state_dict", "optim", "opt", "g_optimizer", "optimizers",
                                 "lr_scheduler", "scheduler_state", "amp", "cuda_rng_state", "random_state",
                                 "best_loss", "losses", "metrics", "global_step"])
def test_what_training_keeps_is_no_weight(net, tmp_path, key):
    torch.save({"model": net.state_dict(), key: {"state": torch.ones(3)}}, tmp_path / "a.pt")
    same(read(tmp_path / "a.pt"), net.state_dict())


@pytest.mark.parametrize("key", ["scaler", "glossary", "adopt", "optics", "ema", "stepper"])
def test_what_may_matter_is_kept(net, tmp_path, key):
    torch.save({"model": net.state_dict(), key: {"mean": torch.ones(3)}}, tmp_path / "a.pt")
    same(read(tmp_path / "a.pt"), net.state_dict() | {f"{key}.mean": torch.ones(3)})


def test_a_real_optimizer_state_is_no_weight(net, tmp_path):
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 2, 4)).sum().backward()
    optimizer.step()
    torch.save({"state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, tmp_path / "a.pt")
    same(read(tmp_path / "a.pt"), net.state_dict())


@pytest.mark.parametrize("legacy", [False, True])
def test_whole_modules_are_read_without_their_classes(net, tmp_path, legacy):
    torch.save(net, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    same(read(tmp_path / "a.pt"), net.state_dict())


@pytest.mark.filterwarnings("ignore")
def test_torchscript_archives(net, tmp_path):
    torch.jit.script(net).save(tmp_path / "a.pt")
    same(read(tmp_path / "a.pt"), net.state_dict())


@pytest.mark.filterwarnings("ignore")
def test_exported_programs(net, tmp_path):
    torch.export.save(torch.export.export(net, (torch.zeros(1, 5, 4),)), tmp_path / "a.pt2")
    same(read(tmp_path / "a.pt2"), net.state_dict())


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors(net, tmp_path, metadata):
    files = pytest.importorskip("safetensors.torch")
    files.save_file(net.state_dict(), tmp_path / "a.safetensors", metadata)
    found = read(tmp_path / "a.safetensors")
    same({name: found[name] for name in net.state_dict()}, net.state_dict())
    assert len(found) == len(net.state_dict())


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(tmp_path, dtype, kind):
    values = {"w": torch.linspace(-3, 3, 12).to(getattr(torch, dtype)).reshape(3, 4)}
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pt")
    if kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(values, path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=kind == "zip")
    same(read(path), values)


@pytest.mark.parametrize("legacy", [False, True])
def test_views_strides_offsets_and_shared_storage(tmp_path, legacy):
    base = torch.arange(60.0).reshape(6, 10)
    values = {"whole": base, "row": base[2], "column": base[:, 3], "transposed": base.t(), "window": base[1:4, 2:9:3],
              "scalar": base[1, 1], "again": base, "empty": base[:0]}
    torch.save(values, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    same(read(tmp_path / "a.pt"), values)


def test_a_view_can_be_read_twice_and_in_any_order(tmp_path):
    base = torch.arange(60.0)
    torch.save({"a": base[:30], "b": base[30:]}, tmp_path / "a.pt")
    with open_weights(tmp_path / "a.pt") as weights:
        for name in ("b", "a", "a", "b"):
            np.testing.assert_array_equal(weights.take(name), base[:30] if name == "a" else base[30:])


def test_the_storage_of_a_read_tensor_is_not_kept(tmp_path):
    torch.save({"part": torch.arange(1000.0)[:10]}, tmp_path / "a.pt")
    part = read(tmp_path / "a.pt")["part"]
    assert part.base is None or part.base.nbytes == 40


@pytest.mark.parametrize("order", ["little", "big"])
def test_byteorder(tmp_path, order):
    values = np.arange(12, dtype="<f4" if order == "little" else ">f4")
    records = {"a/data.pkl": b"\x80\x02" + mapping({"w": tensor()}) + b".", "a/byteorder": order.encode(),
               "a/data/0": values.tobytes()}
    found = read(write(tmp_path, archive(records)))["w"]
    assert found.dtype == np.dtype("float32") and found.dtype.isnative
    np.testing.assert_array_equal(found, np.arange(12.0).reshape(4, 3))


def test_untyped_storages_with_a_dtype_beside_them(tmp_path):
    torch.save({"w": torch.zeros(6, dtype=torch.uint16)}, tmp_path / "a.pt")
    with open_weights(tmp_path / "a.pt") as weights:
        assert weights.shape("w") == (6,)
        with pytest.raises(UnsupportedError, match="tensor 'w' is uint16; weights must be one of float16, bfloat16"):
            weights.take("w")


def test_a_deflated_archive_and_one_without_checksums(net, tmp_path):
    torch.save(net.state_dict(), buffer := io.BytesIO())
    with zipfile.ZipFile(buffer) as source:
        records = {name: source.read(name) for name in source.namelist()}
    same(read(write(tmp_path, archive(records, zipfile.ZIP_DEFLATED))), net.state_dict())
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(net.state_dict(), tmp_path / "b.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    same(read(tmp_path / "b.pt"), net.state_dict())


@pytest.mark.parametrize("value, kind, message", [
    (mapping({"a": b"N"}), UnsupportedError, "the file holds no tensors; expected a state dict, or a checkpoint with "
                                             "one in it"),
    (mapping({"w": tensor(), "n": b"cnumpy._core.multiarray\n_reconstruct\n)R"}), UnsupportedError,
     "'n' is a pickled NumPy array; save the model's state_dict with torch.save, or the arrays with numpy.savez"),
    (mapping({"w": tensor(), "model": mapping({"w": tensor()})}), FormatError, "two tensors are named 'w'"),
])
def test_checkpoints_that_hold_no_state_dict(tmp_path, value, kind, message):
    path = write(tmp_path, checkpoint(value))
    with pytest.raises(kind) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_lists_of_state_dicts_are_numbered(tmp_path):
    path = write(tmp_path, checkpoint(listed(mapping({"w": tensor()}), items(text("x"), tensor()))))
    assert list(read(path)) == ["0.w", "1.1"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="cannot read .*none.pt: No such file or directory"):
        read(tmp_path / "none.pt")
