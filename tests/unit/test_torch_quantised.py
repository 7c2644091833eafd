"""What torch.ao.quantization.quantize_dynamic has made: state dicts and whole modules, against torch itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_bytes import call, checkpoint, instance, items, listed, mapping, number, storage, symbol, tensor, text, write

import lstm_engine as le
from lstm_engine.graph.stored import with_floats
from lstm_engine.importers.torch.checkpoints.files import open_contents, open_weights
from lstm_engine.notes import notes

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "UserWarning")]
quantization = pytest.importorskip("torch.ao.quantization")
TWO = {"bidirectional": True, "num_layers": 2}
PARTS = {"lstm": nn.LSTM(4, 6, batch_first=True), "two": nn.LSTM(4, 6, batch_first=True, **TWO),
         "gru": nn.GRU(4, 6, 3, batch_first=True),
         "chain": nn.Sequential(nn.Linear(4, 5), nn.GRU(5, 6, batch_first=True)),
         "both": nn.GRU(6, 6, bidirectional=True, batch_first=True)}
FLOATS, WHOLE, CHANNELS = "float16", "8 bits", "8 bits, a scale each"


def quantised(module: Any, how: str = WHOLE, **more: Any) -> Any:
    """The quantised copy of a module, in a Sequential if it is not one: quantize_dynamic replaces what is inside."""
    kinds = {nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.Linear}
    outer = module if isinstance(module, nn.Sequential) else nn.Sequential(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == CHANNELS:
            kinds = dict.fromkeys(kinds, quantization.per_channel_dynamic_qconfig)
        return quantization.quantize_dynamic(outer.eval(), kinds | more if more else kinds,
                                             torch.float16 if how == FLOATS else torch.qint8)


def saved(tmp_path: Path, what: Any, **options: Any) -> Path:
    torch.save(what, tmp_path / "m.pt", **options)
    return tmp_path / "m.pt"


def output(made: Any) -> np.ndarray:
    return next(iter(made.values())) if isinstance(made, dict) else made


def dequantised(module: Any) -> list[np.ndarray]:
    """The matrices of a quantised module by torch's own words, in the order of its layers."""
    found = []
    for part in module.modules():
        if hasattr(part, "_all_weight_values"):
            for cell in part._all_weight_values:
                found += [product.__getstate__()[0][0] for product in cell.param.__getstate__()[0][4]]
        elif hasattr(part, "weight") and callable(part.weight):
            found.append(part.weight())
    return [(weight.dequantize() if weight.is_quantized else weight).numpy() for weight in found]


@pytest.mark.parametrize("how", [FLOATS, WHOLE, CHANNELS])
@pytest.mark.parametrize("kind", PARTS)
def test_weights_are_those_of_torch_to_the_bit(tmp_path: Path, kind: str, how: str) -> None:
    module = quantised(PARTS[kind], how)
    wanted = dequantised(module)
    with open_weights(saved(tmp_path, module)) as weights:
        mine = [weights.take(name) for name in weights.names if "weight" in name]
    assert len(mine) == len(wanted) > 1
    for ours, theirs in zip(sorted(mine, key=repr), sorted(wanted, key=repr)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("how", [FLOATS, WHOLE, CHANNELS])
@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("whole", [False, True])
def test_results(tmp_path: Path, kind: str, how: str, whole: bool) -> None:
    module = quantised(PARTS[kind], how)
    file = saved(tmp_path, module if whole else module.state_dict())
    if kind == "both" and not whole:
        with pytest.raises(le.UnsupportedError, match="'0' can be two layers, or one of two directions"):
            le.convert(file)
        return
    options = {} if whole or kind != "chain" else {"activations": {"0": "none"}}
    model = le.convert(file, **options)
    x = torch.randn(3, 7, module[0].input_size if hasattr(module[0], "input_size") else 4)
    with torch.no_grad():
        theirs = output(dict(enumerate(module(x)))).numpy()
    # float16: weights that torch rounded, products in float32 on both sides. 8 bits: torch rounds x and h to steps of
    # (max - min) / 127, up to 0.03 of x here, for sums of up to 7 products with weights below 0.5; gates halve that.
    tolerance = 1e-6 if how == FLOATS else 0.03
    np.testing.assert_allclose(output(model.predict(x.numpy())), theirs, rtol=0, atol=tolerance)
    assert ("quantised_by_torch" in model.graph.metadata) == (how != FLOATS)
    if how != FLOATS:
        assert "that torch had quantised to 8 bits" in notes(model.graph.metadata)[0]


@pytest.mark.parametrize("how", [WHOLE, CHANNELS])
@pytest.mark.parametrize("kind", PARTS)
def test_int8_stays_int8(tmp_path: Path, kind: str, how: str) -> None:
    """The matrices of each layer are torch's own numbers to the bit, in int8, and are computed with as floats are."""
    torch.manual_seed(1)
    module = quantised(PARTS[kind], how)
    model = le.convert(saved(tmp_path, module))
    assert model.weight_dtype == "int8_weights"
    ours = sorted(channel.tobytes() for node in model.graph.nodes for name, weight in node.tensors().items()
                  if name in ("W", "R", "kernel") for channel in rows(weight))
    theirs = sorted(channel.tobytes() for weight in dequantised(module) for channel in weight)
    assert ours == theirs
    x = torch.randn(3, 7, 6 if kind == "both" else 4).numpy()
    plain = le.Model(with_floats(model.graph))
    assert plain.quantization is None and model.memory()["weights"] < plain.memory()["weights"]
    np.testing.assert_array_equal(output(model.predict(x)), output(plain.predict(x)))
    assert le.convert(tmp_path / "m.pt", dtype="float64").dtype == "float64"


def rows(weight: Any) -> np.ndarray:
    """The output channels of a quantised weight, in float32."""
    whole = weight.whole()
    return np.ascontiguousarray(whole.T if weight.axis == -1 else whole.reshape(-1, whole.shape[-1]))


def test_how_torch_rounds_is_in_no_file(tmp_path: Path) -> None:
    """What is multiplied with the weights goes by the engine of whoever runs the file: 7 bits on x86, 8 with qnnpack.
    Their results are further apart than any of them from the model before, so none of them is what the file says."""
    engines = {"fbgemm", "qnnpack"} & set(torch.backends.quantized.supported_engines)
    if len(engines) < 2:
        pytest.skip(f"this torch has of fbgemm and qnnpack {engines or 'neither'}")
    torch.manual_seed(0)
    module = nn.LSTM(20, 64, batch_first=True)
    x, before, made = torch.randn(3, 12, 20), torch.backends.quantized.engine, {}
    plain = module(x)[0].detach().numpy()
    try:
        for engine in sorted(engines):
            torch.backends.quantized.engine = engine
            packed = quantised(module)
            made[engine] = packed[0](x)[0].numpy()
            weights = dequantised(packed)
            made[f"{engine}, read"] = output(le.convert(saved(tmp_path, packed.state_dict())).predict(x.numpy()))
            assert all(np.array_equal(one, two) for one, two in zip(weights, dequantised(quantised(module))))
    finally:
        torch.backends.quantized.engine = before
    apart = np.abs(made["fbgemm"] - made["qnnpack"]).max()
    assert apart > 0.5 * max(np.abs(made[engine] - plain).max() for engine in engines)
    assert apart > 5 * np.abs(made["fbgemm, read"] - made["qnnpack, read"]).max()


def test_the_lowest_int8_of_torch(tmp_path: Path) -> None:
    """torch's scale is largest / 127.5: where the number of the largest magnitude is below 0, it is -128."""
    layer, other = nn.Linear(4, 3), nn.GRU(3, 5, batch_first=True)
    with torch.no_grad():
        layer.weight[1, 2] = -3
        other.weight_ih_l0[1, 2] = other.weight_hh_l0[1, 2] = 3
    model = le.convert(saved(tmp_path, quantised(nn.Sequential(layer, other), WHOLE)))
    dense, gru = model.graph.nodes
    assert dense.kernel.values.min() == -128 and model.weight_dtype == "int8_weights"
    np.testing.assert_array_equal(dense.kernel.whole().T, dequantised(torch.load(tmp_path / "m.pt",
                                                                                 weights_only=False))[0])
    model.save(tmp_path / "m.lstm")
    x = np.ones((2, 3, 4), np.float32)
    np.testing.assert_array_equal(output(le.load(tmp_path / "m.lstm").predict(x)), output(model.predict(x)))
    with pytest.raises(le.ArgumentError, match="kernel holds -128 as its file has it, and int8 is from -127 to 127"):
        le.quantize(model, "int8")
    small = le.quantize(model, "int8", layers={dense.name: "int8_weights"})
    assert [layer.type for layer in small.quantization.layers] == ["int8_weights", "int8"]


def test_embeddings_and_cells_and_legacy_files(tmp_path: Path) -> None:
    net = quantised(nn.Sequential(nn.Embedding(20, 8), nn.LSTM(8, 6, batch_first=True)))
    table = nn.Sequential(nn.Embedding(20, 8))
    whole = quantization.quantize_dynamic(table.eval(), {nn.Embedding: quantization.float_qparams_weight_only_qconfig})
    net[0] = whole[0]
    for legacy in (False, True):
        for part in (net, net.state_dict()):
            with open_weights(saved(tmp_path, part, _use_new_zipfile_serialization=not legacy)) as weights:
                np.testing.assert_array_equal(weights.take("0.weight"), net[0].weight().dequantize().numpy())
        assert output(le.convert(tmp_path / "m.pt").predict(np.zeros((2, 3), np.int32))).shape == (2, 3, 6)
    for cell, op in ((nn.LSTMCell(4, 5), "LSTM"), (nn.GRUCell(4, 5), "GRU")):
        graph = le.convert(saved(tmp_path, quantised(cell).state_dict())).graph
        assert [node.op for node in graph.nodes] == [op]


def test_a_live_module_takes_them(tmp_path: Path) -> None:
    from lstm_engine.importers.torch import fill

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 5), nn.GRU(5, 6, 2, batch_first=True))
    said = fill(module, saved(tmp_path, quantised(module).state_dict()))
    assert said == ("the weights of '0', '1', which torch had quantised to 8 bits, are the float32 numbers that these "
                    "stand for")


def test_what_is_refused(tmp_path: Path) -> None:
    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.fc, self.dequant = quantization.QuantStub(), nn.Linear(4, 4), quantization.DeQuantStub()
            self.gru = nn.GRU(4, 6, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.gru(self.dequant(self.fc(self.quant(x))))

    static = Static().eval()
    static.fc.qconfig = static.quant.qconfig = quantization.get_default_qconfig()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = quantization.prepare(static)
        prepared(torch.randn(2, 3, 4))
        converted = quantization.convert(prepared)
    with pytest.raises(le.UnsupportedError, match="the layer 'fc' is quantized statically, with its results .scale 0"):
        le.convert(saved(tmp_path, converted.state_dict()))
    bare = torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 0, torch.qint8)
    with pytest.raises(le.UnsupportedError, match="'state_dict.w' is a quantized tensor, whose layer computes in"):
        le.convert(saved(tmp_path, {"state_dict": {"w": bare}}))
    with pytest.raises(le.UnsupportedError, match="the layer '0' is quantised, and a live one is not read"):
        le.convert(quantised(nn.LSTM(4, 6)))
    torch.jit.trace(quantised(nn.Linear(4, 6)), torch.randn(2, 4)).save(tmp_path / "t.pt")
    with pytest.raises(le.UnsupportedError, match="quantized tensor, whose layer computes in whole numbers"):
        le.convert(tmp_path / "t.pt")


# ---- bad files ------------------------------------------------------------------------------------------------------

WHOLES = storage("1", 12, symbol("torch", "QInt8Storage"))
BYTES = {"0": np.arange(12, dtype="<f4").tobytes(), "1": bytes(range(12))}
SCHEME = symbol("torch", "per_tensor_affine")
CHANNEL = symbol("torch", "per_channel_affine")


def real(value: float) -> bytes:
    return b"G" + np.array(value, ">f8").tobytes()


def qtensor(*parameters: bytes, shape: tuple[int, ...] = (4, 3), strides: tuple[int, ...] = (3, 1),
            over: bytes = WHOLES) -> bytes:
    return call(symbol("torch._utils", "_rebuild_qtensor"), over, number(0), items(*map(number, shape)),
                items(*map(number, strides)), items(*parameters), b"\x89", call(symbol("collections", "OrderedDict")))


GOOD = qtensor(SCHEME, real(0.5), number(2))


def packed(weight: bytes, bias: bytes = b"N") -> bytes:
    return instance("torch", "ScriptObject",
                    items(items(weight, bias), text("__torch__.torch.classes.quantized.LinearPackedParamsBase")))


def cell(*parts: bytes, kind: str = "__torch__.torch.classes.rnn.CellParamsBase") -> bytes:
    return instance("torch", "ScriptObject", items(items(*parts), text(kind)))


def refused(tmp_path: Path, entries: dict[str, bytes]) -> str:
    path = write(tmp_path, checkpoint(mapping(entries), BYTES))
    with pytest.raises((le.FormatError, le.UnsupportedError)) as caught, open_contents(path) as contents:
        for name in contents.weights.names:
            contents.weights.take(name)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_by_hand_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, checkpoint(mapping({"fc._packed_params._packed_params": items(GOOD, b"N")}), BYTES))
    with open_weights(path) as weights:
        np.testing.assert_array_equal(weights.take("fc.weight"), (np.arange(12).reshape(4, 3) - 2) * np.float32(0.5))


ONES, FOUR = tensor((4,), (1,)), tensor((4,), (0,))
BAD: dict[str, tuple[dict[str, bytes], str]] = {
    **{f"scale {value}": ({"fc._packed_params._packed_params": items(qtensor(SCHEME, real(value), number(0)), b"N")},
                          f"_rebuild_qtensor... a quantized tensor of the scale {value!r} and the zero 0")
       for value in (0.0, -0.5, float("inf"), float("nan"))},
    "zero out of range": ({"w": qtensor(SCHEME, real(0.5), number(2**40))},
                          "a quantized tensor of the scale 0.5 and the zero 1099511627776"),
    "zero that is none": ({"w": qtensor(SCHEME, real(0.5), text("x"))},
                          "a tensor quantized as 'torch.per_tensor_affine' is not supported"),
    "scheme": ({"w": qtensor(symbol("torch", "per_row"), real(0.5), number(0))},
               "a tensor quantized as 'torch.per_row' is not supported; save the state_dict"),
    "no scheme": ({"w": qtensor()}, "a tensor quantized as '?' is not supported"),
    "scales that are too few": ({"w": qtensor(CHANNEL, tensor((3,), (1,)), ONES, number(0))},
                                "a quantized tensor of shape [4, 3] with scales [3] and zeros [4] of its axis 0"),
    "an axis that is none": ({"w": qtensor(CHANNEL, ONES, ONES, number(2))}, "of its axis 2"),
    "a scale of 0 among them": (
        {"fc._packed_params._packed_params": items(qtensor(CHANNEL, ONES, FOUR, number(0)), b"N")},
        "the scales of a quantized tensor are not all finite and above 0"),
    "beyond its storage": ({"w": qtensor(SCHEME, real(0.5), number(0), shape=(5, 3))}, "reads item 14 of storage '1'"),
    "a bare one": ({"w": GOOD, "r.weight_ih_l0": tensor()}, "'w' is a quantized tensor, whose layer computes in "),
    "nothing packed": ({"fc._packed_params._packed_params": items(GOOD)},
                       "the packed weights of 'fc' are none that torch writes"),
    "a bias of text": ({"fc._packed_params._packed_params": items(GOOD, text("x"))},
                       "the packed weights of 'fc' are none that torch writes"),
    "a layer that is there twice": ({"fc._packed_params._packed_params": items(GOOD, b"N"), "fc.weight": tensor()},
                                    "two tensors are named 'fc.weight'"),
    "static": ({"fc._packed_params._packed_params": items(GOOD, b"N"), "fc.scale": tensor((), (), 3)},
               "the layer 'fc' is quantized statically, with its results (scale 3.0, zero 0)"),
    "layers that are missing": ({"r._all_weight_values.1.param": cell(
        text("quantized_fp16"), listed(), listed(), listed(), listed(packed(tensor()), packed(tensor())))},
        "the packed weights of 'r' are numbered [1]"),
    "a cell of another kind": ({"r._all_weight_values.0.param": cell(text("quantized_future"))},
                               "'r._all_weight_values.0.param' is none of the packed weights that torch writes"),
    "a cell of no matrices": ({"r._all_weight_values.0.param": cell(
        text("quantized_fp16"), listed(), listed(), listed(), listed(packed(ONES), packed(ONES)))},
        "the packed weights of 'r' are no matrices"),
    "another class": ({"r._all_weight_values.0.param": cell(text("quantized_fp16"), kind="__torch__.Other")},
                      "is none of the packed weights that torch writes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str) -> None:
    entries, message = BAD[case]
    assert message.rpartition("... ")[2] in refused(tmp_path, entries)


def test_data_tied_into_knots_ends(tmp_path: Path) -> None:
    """A list that holds itself beside packed weights."""
    knot = b"]q\x07h\x07a"
    path = write(tmp_path, checkpoint(mapping({"fc._packed_params._packed_params": items(GOOD, b"N"), "knot": knot}),
                                      BYTES))
    with open_weights(path) as weights:
        assert weights.names == ("fc.weight",)
