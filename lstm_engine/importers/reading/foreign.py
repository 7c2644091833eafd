"""What people hand over that is no model's file, or another program's: named for what it is, with what to type next.

A table, told by the first bytes; by a name only where bytes say nothing. Nothing of it is read further or opened again.
"""

from __future__ import annotations

import os
import re
import shlex
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import FormatError, UnsupportedError
from ...files import Held, ModelFile
from .protobuf import number_at
from .zip_archive import MARK, first_record

_TAR_MARK = slice(257, 262)
_TEXT_LINES = 40                # of a program, looked at for how it begins
_SAVE_AGAIN = ('save the network itself with the program that made it: model.save("m.keras") in Keras, '
               'torch.save(model.state_dict(), "m.pt") or torch.export.save in PyTorch')


@dataclass(frozen=True)
class Begin:
    """How a file begins, and what it is called."""

    head: bytes
    path: ModelFile

    @property
    def name(self) -> str:
        return os.path.basename(str(self.path))

    def beside(self, ending: str) -> bool:
        """Whether a file of the same name, but for its ending, is beside it."""
        return isinstance(self.path, Path) and os.path.isfile(os.path.splitext(self.path)[0] + ending)

    @property
    def text(self) -> str:
        """The beginning as text, in small letters and without white space before it."""
        return self.head.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip().lower()

    def lines(self) -> Iterator[str]:
        return iter(self.head.decode("latin-1").splitlines()[:_TEXT_LINES])


@dataclass(frozen=True)
class Kind:
    """what: completes "this is". told: whether a file is of this kind. advice: what to do, {file} for its name in a
    shell, {stem} for that without its ending. other: whether it is another program's model, not merely no model's file.
    """

    what: str
    told: Callable[[Begin], bool]
    advice: str
    other: bool = False


def _starts(*marks: bytes) -> Callable[[Begin], bool]:
    return lambda begin: begin.head.startswith(marks)


def _at_4(*marks: bytes) -> Callable[[Begin], bool]:
    """FlatBuffers have their mark behind the offset of their root."""
    return lambda begin: begin.head[4:8] in marks


def _text(*starts: str) -> Callable[[Begin], bool]:
    return lambda begin: begin.text.startswith(starts)


def _json_with(*words: bytes) -> Callable[[Begin], bool]:
    return lambda begin: begin.text.startswith("{") and any(word in begin.head for word in words)


# ---- protobuf -------------------------------------------------------------------------------------------------------

def _message(head: bytes, position: int, tag: int) -> int:
    """Where the bytes of a field begin, if one with this tag, of kind 2, stands at `position`; else -1."""
    if head[position:position + 1] != bytes([tag]):
        return -1
    _, start = number_at(head, position + 1)
    return start if start <= len(head) else -1


def _within(*tags: int) -> Callable[[bytes, int], bool]:
    """Whether fields with these tags stand one in the other from a position on."""
    def told(head: bytes, position: int) -> bool:
        for tag in tags:
            position = _message(head, position, tag)
            if position < 0:
                return False
        return True
    return told


def _is_saved_model(begin: Begin) -> bool:
    """SavedModel: its version (1), meta_graphs; in one a MetaInfoDef, which begins with a version or the operators."""
    return begin.head.startswith(b"\x08\x01") and (_within(0x12, 0x0A, 0x12)(begin.head, 2)
                                                   or _within(0x12, 0x0A, 0x0A)(begin.head, 2)
                                                   and begin.name.lower().endswith(".pb"))


def _is_core_ml(begin: Begin) -> bool:
    """Model: specificationVersion, a ModelDescription; in it the first input, a FeatureDescription with its name."""
    return begin.head[:1] == b"\x08" and _within(0x12, 0x0A, 0x0A)(begin.head, 2)


def _is_graph_def(begin: Begin) -> bool:
    """GraphDef: nodes, each a name and an operator."""
    head = begin.head
    name = _message(head, _message(head, 0, 0x0A), 0x0A) if _message(head, 0, 0x0A) > 0 else -1
    if name < 1:
        return False
    operator = _message(head, name + head[name - 1], 0x12)
    return operator > 0 and head[operator:operator + head[operator - 1]].isalnum() \
        and head[name:name + head[name - 1]].decode("latin-1").isprintable()


# ---- what is packed, and programs -----------------------------------------------------------------------------------

def _is_tar(begin: Begin) -> bool:
    return begin.head[_TAR_MARK] == b"ustar"


def _tar_names(head: bytes) -> set[str]:
    """The names of the first members of a tar file: a header's are 512 bytes, and so are steps between them."""
    return {head[start:start + 100].rstrip(b"\0").decode("latin-1").removeprefix("./")
            for start in range(0, len(head), 512) if head[start + 257:start + 262] == b"ustar"}


def _is_packed_tar(begin: Begin) -> bool:
    """A gzip file that holds a tar."""
    try:
        inside = zlib.decompressobj(31).decompress(begin.head, _TAR_MARK.stop)
    except zlib.error:
        return False
    return inside[_TAR_MARK] == b"ustar"


def _is_nemo(begin: Begin) -> bool:
    tar = not _tar_names(begin.head).isdisjoint(("model_config.yaml", "model_weights.ckpt"))
    return _is_tar(begin) and tar or begin.name.lower().endswith(".nemo") and (_is_tar(begin) or _is_packed_tar(begin))


def _is_old_torch(begin: Begin) -> bool:
    return _is_tar(begin) and not _tar_names(begin.head).isdisjoint(("storages", "tensors", "pickle", "sys_info"))


def _is_checkpoint_part(begin: Begin) -> bool:
    return begin.text.startswith("model_checkpoint_path:") or re.search(
        r"\.(index|data-[0-9]{5}-of-[0-9]{5}|meta)$", begin.name) is not None


def _is_python(begin: Begin) -> bool:
    if "\0" in begin.text:
        return False
    return begin.name.lower().endswith(".py") or any(_is_import(line.split(maxsplit=4)) for line in begin.lines())


def _is_import(words: list[str]) -> bool:
    """Whether a line of these words is "from a.b import c", "import a.b", "import a as b" or "import a, b"."""
    if len(words) < 2 or not words[1].rstrip(",").replace(".", "_").isidentifier():
        return False
    return words[0] == "from" and words[2:3] == ["import"] or words[0] == "import" and (
        len(words) == 2 or words[1].endswith(",") or words[2] == "as")


def _is_pickle(begin: Begin) -> bool:
    return begin.head[:1] == b"\x80" and begin.head[1:2] in (b"\2", b"\3", b"\4", b"\5") \
        or begin.head.startswith((b"(dp0\n", b"(lp0\n", b"ccopy_reg\n", b"ccopyreg\n"))


def _pickle_of(*modules: bytes) -> Callable[[Begin], bool]:
    return lambda begin: _is_pickle(begin) and any(module in begin.head for module in modules)


def _is_packed_pickle(begin: Begin) -> bool:
    """What zlib has packed, which any text that begins with x may seem to be, holds a pickle."""
    try:
        return zlib.decompressobj().decompress(begin.head, 1) == b"\x80"
    except zlib.error:
        return False


_SKLEARN = "convert it with skl2onnx, or " + _SAVE_AGAIN
_FROM_SAVED_MODEL = ("python -m tf2onnx.convert --saved-model {folder} --output model.onnx, or in Keras 2 "
                     'tf.keras.models.load_model(...).save("m.keras")')
_FROM_CHECKPOINT = ("it holds weights alone: in Keras build the model, model.load_weights(...) and "
                    'model.save("m.keras"); in TensorFlow 1 python -m tf2onnx.convert --checkpoint PREFIX.meta '
                    "--inputs NAME:0 --outputs NAME:0 --output m.onnx")
_FROM_JS = "tensorflowjs_converter --input_format tfjs_layers_model --output_format keras {file} {stem}.h5"
_FETCH = "fetch the file itself"
_OURS_IN_ZIP = (".keras", ".pt", ".pth", ".pt2", ".npz")

# The first that is told is said: what is certain, and what is a case of another, stands first.
KINDS = (
    Kind("an empty file of 0 bytes", lambda begin: not begin.head, "the download or copy failed; fetch it again"),
    Kind("a pointer of Git LFS, not the file it stands for", _text("version https://git-lfs.github.com/spec/"),
         "git lfs pull"),
    Kind("a pointer of git-annex, not the file it stands for", _text("/annex/objects/"), "git annex get {file}"),
    Kind("a record of DVC, not the file it stands for",
         lambda begin: begin.text.startswith(("outs:", "md5:")) or begin.name.endswith(".dvc"), "dvc pull {file}"),
    Kind("an HTML page, saved in place of the file", _text("<!doctype html", "<html", "<head", "<!-- "),
         _FETCH + ": on GitHub by its button Raw, on Hugging Face by an address with /resolve/ in place of /blob/"),
    Kind("OpenVINO's description of a network", lambda begin: begin.text.startswith(("<?xml", "<net "))
         and "<net " in begin.text, "give the .onnx, .keras or .pt file that it was made from", other=True),
    Kind("an XML page, most likely a server's error", _text("<?xml", "<error"), _FETCH + "; it may need you to log in"),
    Kind("a server's answer in place of the file", _text(
        "entry not found", "not found", "404:", "404 ", "access denied", "access to model", "invalid username",
        "unauthorized", '{"error"', '{"message"', '{"detail"'), _FETCH + "; it may need you to log in"),
    Kind("an archive of NVIDIA NeMo", _is_nemo,
         "tar -xf {file}, then convert model_weights.ckpt with a spec (docs/spec.md), or in NeMo "
         'model.export("m.onnx")', other=True),
    Kind("a tar file of torch 0.1", _is_old_torch,
         'load and save it with a torch of today: torch.save(torch.load(...), "m.pt")', other=True),
    Kind("a tar archive", _is_tar, "tar -xf {file}, then convert the model in it"),
    Kind("a tar archive packed by gzip", _is_packed_tar, "tar -xzf {file}, then convert the model in it"),
    Kind("packed by gzip", _starts(b"\x1f\x8b"), "gunzip < {file} > {stem}"),
    Kind("packed by xz", _starts(b"\xfd7zXZ\0"), "xz -dc {file} > {stem}"),
    Kind("packed by zstd", _starts(b"\x28\xb5\x2f\xfd"), "zstd -d {file} -o {stem}"),
    Kind("packed by bzip2", lambda begin: begin.head.startswith(b"BZh") and begin.head[4:10] in (
        b"1AY&SY", b"\x17rE8P\x90"), "bunzip2 < {file} > {stem}"),
    Kind("packed by lz4", _starts(b"\x04\x22\x4d\x18"), "lz4 -d {file} {stem}"),
    Kind("a 7z archive", _starts(b"7z\xbc\xaf\x27\x1c"), "7z x {file}, then convert the model in it"),
    Kind("a RAR archive", _starts(b"Rar!\x1a\x07"), "unrar x {file}, then convert the model in it"),
    Kind("a model of TensorFlow Lite", _at_4(b"TFL3"), "give the model that it was made from; or "
         "python -m tf2onnx.convert --tflite {file} --output {stem}.onnx", other=True),
    Kind("ONNX Runtime's own format", _at_4(b"ORTM"), "give the .onnx file that it was made from", other=True),
    Kind("a program of ExecuTorch", _at_4(b"ET12"), "give the .pt2 file that it was made from", other=True),
    Kind("a GGUF file, the weights of a language model", _starts(b"GGUF", b"tjgg", b"lmgg"),
         "recurrent networks come in other formats: give the checkpoint that it was made from", other=True),
    Kind("an engine of TensorRT", _starts(b"ptrt", b"ftrt"), "give the .onnx file that it was made from", other=True),
    Kind("a graph of TensorFlow.js", _json_with(b'"graph-model"'), "give the model that it was made from", other=True),
    Kind("a model of TensorFlow.js", _json_with(b'"modelTopology"', b'"weightsManifest"', b'"layers-model"'), _FROM_JS,
         other=True),
    Kind("a configuration of Hugging Face's transformers", _json_with(b'"model_type"', b'"architectures"'),
         "give the folder that it is in, or the file of weights beside it (model.safetensors, pytorch_model.bin)"),
    Kind("a notebook", _json_with(b'"nbformat"', b'"cell_type"'), "run it, and in it " + _SAVE_AGAIN),
    Kind("one array of NumPy alone (.npy)", _starts(b"\x93NUMPY"),
         "put all arrays of the model into one file, numpy.savez('m.npz', kernel=..., bias=...), and give a spec "
         "(docs/spec.md)"),
    Kind("a pickle of scikit-learn, which is never unpickled here", _pickle_of(b"sklearn", b"joblib"), _SKLEARN,
         other=True),
    Kind("a pickle of Keras, which is never unpickled here", _pickle_of(b"keras"),
         'unpickle it where you made it, and model.save("m.keras")', other=True),
    Kind("a plain pickle without torch's magic number, which is never unpickled here", _is_pickle, _SAVE_AGAIN),
    Kind("a pickle packed by zlib, as joblib.dump(compress=...) writes", _is_packed_pickle, _SKLEARN),
    Kind("a SavedModel's graph, which belongs to its folder", _is_saved_model, _FROM_SAVED_MODEL,
         other=True),
    Kind("a model of Core ML", _is_core_ml, "give the model that it was made from", other=True),
    Kind("a graph of TensorFlow 1 (GraphDef)", lambda begin: _is_graph_def(begin) or begin.text.startswith("node {"),
         "python -m tf2onnx.convert --graphdef {file} --inputs NAME:0 --outputs NAME:0 --output {stem}.onnx",
         other=True),
    Kind("a part of a checkpoint of TensorFlow", _is_checkpoint_part,
         _FROM_CHECKPOINT, other=True),
    Kind("an ONNX model as text", _text("ir_version:", '{"irversion"', '{\n  "irversion"'),
         "save it as bytes: onnx.save(model, 'm.onnx')"),
    Kind("the weights of a network of OpenVINO", lambda begin: begin.name.lower().endswith(".bin")
         and begin.beside(".xml"), "give the .onnx, .keras or .pt file that it was made from", other=True),
    Kind("a shard of a model of TensorFlow.js", lambda begin: "-shard" in begin.name and begin.name.endswith(".bin"),
         "give its model.json to a converter: " + _FROM_JS.replace("{file} {stem}", "model.json model"), other=True),
    Kind("a zip file of something else, with {record} first",
         lambda begin: begin.head.startswith(MARK) and not begin.name.lower().endswith(_OURS_IN_ZIP),
         "unzip {file}, then convert the model in it"),
    Kind("a Python program, which is never run", _is_python, "run it yourself, and " + _SAVE_AGAIN),
)


def refuse_foreign(path: ModelFile, head: bytes) -> None:
    """Raise UnsupportedError for another program's model that begins so, FormatError for what is no model's file."""
    kind = _kind(path, head)
    if kind is not None:
        raise (UnsupportedError if kind.other else FormatError)(f"{path}: this is {_said(kind, path, head)}")


def said_of(path: ModelFile, head: bytes) -> str:
    """The same as a part of another message: what a file that begins so is, and what to do; "" for one not known."""
    kind = _kind(path, head)
    return "" if kind is None else f"it is {_said(kind, path, head)}"


def _kind(path: ModelFile, head: bytes) -> Kind | None:
    begin = Begin(head, path)
    return next((kind for kind in KINDS if kind.told(begin)), None)


def _said(kind: Kind, path: ModelFile, head: bytes) -> str:
    words = _words(path, head)
    return f"{_filled(kind.what, words)}; {_filled(kind.advice, words)}"


def _words(path: ModelFile, head: bytes) -> dict[str, str]:
    """What stands in an advice for the names in braces."""
    text = "FILE" if isinstance(path, Held) and path.shown.startswith("<") else str(path)
    stem = os.path.splitext(text)[0]
    return {"file": shlex.quote(text), "stem": shlex.quote(stem if stem != text else f"{text}.out"),
            "folder": shlex.quote(os.path.dirname(text) or "."), "record": ascii(first_record(head).decode("latin-1"))}


def _filled(text: str, words: Mapping[str, str]) -> str:
    """A text with its words put in, each once: what a word says is not looked at again."""
    return re.sub(r"\{([a-z]+)\}", lambda found: words.get(found[1], found[0]), text)
