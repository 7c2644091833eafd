"""Hostile ONNX files, each generated here: an exact error or a right model, nothing read outside the file."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_hostile
import pytest
from onnx_graphs import graph, kinds, model, node
from onnx_hostile import lstm_model, tensor_of, wrong

from lstm_engine.errors import FileError, FormatError, LstmEngineError, UnsupportedError
from lstm_engine.graph import Graph
from lstm_engine.importers import import_graph
from lstm_engine.importers import onnx as importer
from lstm_engine.importers.base import ImportOptions
from lstm_engine.operators import validate

onnx = pytest.importorskip("onnx")
TensorProto = onnx.TensorProto


def read(path: Path) -> Graph:
    return validate(importer.read(path, ImportOptions()))


def written(tmp_path: Path, source: Any, name: str = "model.onnx") -> Path:
    path = tmp_path / name
    path.write_bytes(source if isinstance(source, bytes) else source.SerializeToString())
    return path


def refused(path: Path, error: type[Exception], *messages: str) -> None:
    with pytest.raises(error) as caught:
        read(path)
    assert isinstance(caught.value, LstmEngineError)
    for message in (path.name, *messages):
        assert message in str(caught.value)


def test_the_whole_model_is_good(tmp_path: Path) -> None:
    assert kinds(read(written(tmp_path, lstm_model()))) == ["Embedding", "LSTM", "Dense", "Transpose"]


def short_raw(source: Any) -> None:
    tensor_of(source, "W").raw_data = tensor_of(source, "W").raw_data[:-4]


def long_raw(source: Any) -> None:
    tensor_of(source, "W").raw_data += b"\0\0\0\0"


def huge_dims(source: Any) -> None:
    tensor_of(source, "W").dims[:] = [2**31, 2**31, 2**31]


def overflowing_dims(source: Any) -> None:
    """2^32 * 2^32 is 0 in 64 bits: the size of the raw data, were it not counted exactly."""
    tensor_of(source, "W").dims[:] = [2**32, 2**32]
    tensor_of(source, "W").raw_data = b""


def negative_dims(source: Any) -> None:
    tensor_of(source, "W").dims[:] = [-1, 12, -4]


def short_typed(source: Any) -> None:
    tensor = tensor_of(source, "W")
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0, 2.0])


def wide_numbers(source: Any) -> None:
    tensor = tensor_of(source, "one")
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.INT8
    tensor.int32_data.append(300)


def strings(source: Any) -> None:
    tensor_of(source, "W").data_type = TensorProto.STRING


def unknown_type(source: Any) -> None:
    tensor_of(source, "W").data_type = 99


def segments(source: Any) -> None:
    tensor_of(source, "W").segment.begin = 1


def sparse(source: Any) -> None:
    source.graph.sparse_initializer.add()


def twice(source: Any) -> None:
    source.graph.initializer.append(tensor_of(source, "W"))


def no_graph(source: Any) -> None:
    source.ClearField("graph")


def no_opset(source: Any) -> None:
    source.ClearField("opset_import")


def no_output(source: Any) -> None:
    source.graph.ClearField("output")


def missing_output(source: Any) -> None:
    source.graph.output[0].name = "nothing"


def sequence_input(source: Any) -> None:
    source.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def wrong_hidden_size(source: Any) -> None:
    source.graph.node[2].attribute[0].i = 2**62


def binary_text(source: Any) -> None:
    source.graph.node[2].attribute.append(onnx.helper.make_attribute("direction", b"\xff\xfe"))


def deep(source: Any) -> None:
    inner = graph([node("Identity", "y", "z0")], {}, "z0")
    for level in range(1, 20):
        inner = graph([node("If", "c", f"z{level}", then_branch=inner, else_branch=inner)], {}, f"z{level}") \
            if level < 3 else graph([node("If", "c", f"z{level}", then_branch=inner)], {}, f"z{level}")
    source.graph.node.append(node("If", "c", "zz", then_branch=inner))


BAD: list[tuple[Callable[[Any], None], type[Exception], str]] = [
    (short_raw, FormatError, "tensor 'W': dims [1, 12, 4] of float32 need 192 bytes, raw_data has 188"),
    (long_raw, FormatError, "tensor 'W': dims [1, 12, 4] of float32 need 192 bytes, raw_data has 196"),
    (huge_dims, FormatError, "tensor 'W': the size of dims [2147483648, 2147483648, 2147483648] overflows"),
    (overflowing_dims, FormatError, "tensor 'W': the size of dims [4294967296, 4294967296] overflows"),
    (negative_dims, FormatError, "tensor 'W': dims [-1, 12, -4] are not a shape"),
    (short_typed, FormatError, "tensor 'W': dims [1, 12, 4] need 48 elements, float_data has 2"),
    (wide_numbers, FormatError, "tensor 'one': int32_data holds numbers beyond int8"),
    (strings, UnsupportedError, "tensor 'W': elements of type string are not supported; supported: float32, uint8"),
    (unknown_type, UnsupportedError, "tensor 'W': elements of type 99 are not supported"),
    (segments, UnsupportedError, "tensor 'W': tensors in segments are not supported"),
    (sparse, UnsupportedError, "sparse initializers are not supported"),
    (twice, FormatError, "tensor 'W' is stored twice"),
    (no_graph, FormatError, "not an ONNX model, or a damaged one: it holds no graph"),
    (no_opset, UnsupportedError, "the model asks for version 0 of ONNX's operators; versions from 7 on are supported"),
    (no_output, FormatError, "the model has no outputs"),
    (missing_output, FormatError, "the graph's outputs: value 'nothing' is made by no node and is no input"),
    (sequence_input, UnsupportedError, "value 'ids' is a sequence; only tensors are supported"),
    (wrong("W", 1, 11, 4), FormatError, "node 'lstm' (LSTM): W must be [1, 12, 4] for hidden_size 3, got [1, 11, 4]"),
    (wrong("W", 1, 12), FormatError, "W must be [1, 12, input size], got [1, 12]"),
    (wrong("W", 1, 12, 9), FormatError, "X must be float32 [time, batch, 9], got float32 ['time', 'batch', 4]"),
    (wrong("R", 1, 12, 300), FormatError, "R must be [1, 12, 3] for hidden_size 3, got [1, 12, 300]"),
    (wrong("R", 3), FormatError, "R must be [1, 12, 3] for hidden_size 3, got [3]"),
    (wrong("B", 1, 12), FormatError, "B must be [1, 24] for hidden_size 3, got [1, 12]"),
    (wrong("B", 0), FormatError, "B must be [1, 24] for hidden_size 3, got [0]"),
    (wrong("k", 5, 2), FormatError, "node 'matmul_y' (MatMul): the inner sizes 3 and 5 differ"),
    (wrong_hidden_size, FormatError, "node 'lstm' (LSTM): hidden_size is 4611686018427387904; expected a number"),
    (binary_text, FormatError, "node 'lstm' (LSTM): a string attribute is not UTF-8 text"),
    (deep, FormatError, "graphs are nested more than 16 deep"),
]


@pytest.mark.parametrize("change, error, message", BAD, ids=[change.__name__ for change, _, _ in BAD])
def test_bad_messages(tmp_path: Path, change: Callable[[Any], None], error: type[Exception], message: str) -> None:
    source = lstm_model()
    change(source)
    refused(written(tmp_path, source), error, message)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08", b"\x3a\xff\xff\xff\xff\x0f", b"PK\x03\x04" + bytes(100),
                                  b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"],
                         ids=["empty", "text", "cut", "length", "zip", "pointer"])
def test_bytes_that_are_no_model(tmp_path: Path, data: bytes) -> None:
    refused(written(tmp_path, data), FormatError, "not an ONNX model, or a damaged one")


def test_truncations_and_flips() -> None:
    """Every cut and many flipped bits: a typed error or a model, in the parser that the sandbox runs."""
    from google.protobuf.message import DecodeError
    data = lstm_model().SerializeToString()
    rng = np.random.default_rng(0)
    damaged = [data[:length] for length in range(0, len(data), 7)]
    for _ in range(400):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    outcomes = set()
    for text in damaged:
        try:
            message = onnx.ModelProto.FromString(text)
        except DecodeError:
            continue
        try:
            outcomes.add(type(validate(importer.read_live(message, ImportOptions()))))
        except LstmEngineError as error:
            outcomes.add(type(error))
    assert {Graph, FormatError, UnsupportedError} <= outcomes


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_truncated_files(tmp_path: Path, cut: float) -> None:
    data = lstm_model().SerializeToString()
    refused(written(tmp_path, data[:int(len(data) * cut)]), FormatError, "not an ONNX model, or a damaged one")


def test_chains_as_deep_as_they_may_be(tmp_path: Path) -> None:
    """Nothing recurses over nodes: a chain far deeper than Python's stack is read."""
    nodes = [node("Relu", f"v{i}", f"v{i + 1}") for i in range(5000)]
    assert len(read(written(tmp_path, model(nodes, {"v0": (2, 3)}, "v5000"))).nodes) == 5000


def external(source: Any, location: str, **entries: Any) -> Any:
    """The model with W kept outside."""
    return onnx_hostile.external(source, "W", location, **entries)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with the bytes of W in it, and a file outside."""
    inside = tmp_path / "models"
    inside.mkdir()
    data = tensor_of(lstm_model(), "W").raw_data
    (inside / "w.bin").write_bytes(b"\0" * 64 + data)
    (tmp_path / "secret.bin").write_bytes(data)
    return inside


def test_external_data(folder: Path) -> None:
    source = external(lstm_model(), "w.bin", offset=64, length=192, checksum="0" * 40)
    made = read(written(folder, source))
    np.testing.assert_array_equal(made.nodes[1].W, onnx.numpy_helper.to_array(tensor_of(lstm_model(), "W")))
    below = folder / "data"
    below.mkdir()
    (below / "w").write_bytes(tensor_of(lstm_model(), "W").raw_data)
    read(written(folder, external(lstm_model(), "./data/w")))


@pytest.mark.parametrize("location", ["../secret.bin", "data/../../secret.bin", "/etc/hostname", "..", ".", "", "a//b",
                                      "..\\secret.bin", "C:\\secret.bin", "c:secret.bin", "w.bin\0", "~/w.bin/.."])
def test_locations_outside(folder: Path, location: str) -> None:
    refused(written(folder, external(lstm_model(), location)), FormatError,
            f"tensor 'W': external data: the location {location!r} is not a file inside the model's folder")


def test_links_and_things_that_are_no_files(folder: Path) -> None:
    (folder / "soft").symlink_to(folder.parent / "secret.bin")
    (folder / "up").symlink_to(folder.parent)
    (folder / "below").mkdir()
    os.mkfifo(folder / "pipe")
    for location, message in (("soft", "'soft' leads through a link"), ("up/secret.bin", "leads through a link"),
                              ("pipe", "'pipe' is not a plain file"), ("below", "'below' is not a plain file")):
        refused(written(folder, external(lstm_model(), location)), FormatError, f"tensor 'W': external data: {message}"
                if not message.startswith("leads") else message)


@pytest.mark.parametrize("entries, message", [
    (dict(offset=65), "bytes 65 to 257 of 'w.bin', which has 256"),
    (dict(offset=2**63 - 1), "bytes 9223372036854775807 to 9223372036854775999 of 'w.bin', which has 256"),
    (dict(offset=-1), "its offset is '-1', not a number of bytes"),
    (dict(offset="1e2"), "its offset is '1e2', not a number of bytes"),
    (dict(offset="9" * 5000), "not a number of bytes"),
    (dict(length=191), "dims [1, 12, 4] of float32 need 192 bytes, its length is 191"),
    (dict(length="x"), "its length is 'x', not a number of bytes"),
])
def test_offsets_and_lengths(folder: Path, entries: dict, message: str) -> None:
    refused(written(folder, external(lstm_model(), "w.bin", **entries)), FormatError,
            "tensor 'W': external data: ", message)


def test_external_data_that_is_missing(folder: Path) -> None:
    refused(written(folder, external(lstm_model(), "gone.bin")), FileError,
            "tensor 'W': external data: cannot read 'gone.bin' beside the model: No such file or directory")


def test_tensors_that_claim_one_region_many_times(folder: Path) -> None:
    """Overlapping tensors of one small file could ask for any amount of memory."""
    (folder / "big.bin").write_bytes(bytes(4096))
    source = external(lstm_model(), "w.bin", offset=64)
    for i in range(8):
        tensor = source.graph.initializer.add(name=f"t{i}", data_type=TensorProto.FLOAT, dims=[1000],
                                              data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="big.bin")
        tensor.external_data.add(key="offset", value=str(4 * i))
    refused(written(folder, source), FormatError, "the tensors claim more than the 4096 bytes of 'big.bin'")


def test_a_live_model_without_its_external_data() -> None:
    with pytest.raises(FormatError, match="tensor 'W': its external data was not loaded"):
        importer.read_live(external(lstm_model(), "w.bin"), ImportOptions())


def test_the_real_file_whose_data_never_was(real: Path) -> None:
    with pytest.raises(FileError) as caught:
        import_graph(real / "silero_vad" / "old" / "silero_vad_op18_ifless_665k.onnx")
    assert "tensor 'model.encoder.0.reparam_conv.weight'" in str(caught.value)
    assert "cannot read 'temp_16.onnx.data' beside the model" in str(caught.value)


WATCHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from lstm_engine.errors import LstmEngineError
    from lstm_engine.importers import onnx
    from lstm_engine.importers.base import ImportOptions

    good, *files = map(Path, sys.argv[1:])
    onnx.read(good, ImportOptions())            # whatever is loaded late is loaded now
    watching = False

    def hook(event, arguments):
        if watching and event in ("open", "import", "exec", "compile", "os.system", "subprocess.Popen",
                                  "ctypes.dlopen"):
            events.append((event, repr(arguments)))

    sys.addaudithook(hook)
    for path in files:
        events = []
        watching = True
        try:
            onnx.read(path, ImportOptions())
            outcome = "read"
        except LstmEngineError as error:
            outcome = type(error).__name__
        watching = False
        # Its own files are the sandbox's process and pipes (numbers), the model, and the folder it is in.
        print(path.name, outcome, *(f"{e}{a}" for e, a in events if not (
            e == "subprocess.Popen" and sys.executable in a or
            e == "open" and (a[1].isdigit() or "/dev/null" in a or str(path) in a or str(path.parent) + "'" in a))),
              sep="\\t")
""")


def test_nothing_outside_is_opened(folder: Path) -> None:
    """In a process of its own, because an audit hook cannot be taken off."""
    (folder / "soft").symlink_to(folder.parent / "secret.bin")
    good = written(folder, lstm_model(), "good.onnx")
    bad = {"up.onnx": "../secret.bin", "soft.onnx": "soft", "etc.onnx": "/etc/hostname", "gone.onnx": "gone.bin"}
    files = [written(folder, external(lstm_model(), location), name) for name, location in bad.items()]
    result = subprocess.run([sys.executable, "-c", WATCHER, str(good), *map(str, files)], capture_output=True,
                            text=True, check=True, cwd=Path(__file__).parents[2])
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["up.onnx", "FormatError"], ["soft.onnx", "FormatError"],
                                            ["etc.onnx", "FormatError"], ["gone.onnx", "FileError"]]
    # The only file tried beside the models is the one that is not there; a link is never opened through.
    assert [line[2:] for line in (lines[0], lines[2])] == [[], []]
    assert len(lines[1]) == 3 and "'soft'" in lines[1][2]
    assert int(lines[1][2].rstrip(")").rpartition(" ")[2]) & os.O_NOFOLLOW
    assert len(lines[3]) == 3 and lines[3][2].startswith("open(") and "gone.bin" in lines[3][2]
