"""Weights that torch.ao.quantization.quantize_dynamic has packed, as the plain modules that they were.

In a state dict and in a whole pickled module, packed weights are objects of torch's C++ classes, of which a pickle says
what they are made of: for each product a quantised matrix (or one rounded to float16) and a bias. They take the names
that the layer had before it was quantised, as numbers that stand for themselves: (q - zero) * scale, in float32 as
torch computes it. A quantised tensor anywhere else is refused.
Source: torch/_utils.py (_rebuild_qtensor), torch/ao/nn/quantized (modules/linear.py, dynamic/modules/rnn.py),
ATen/native/quantized/cpu (qlinear_unpack_impl.cpp), ATen/native/RNN.cpp (the states of CellParamsBase).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from ....errors import FormatError, UnsupportedError
from .symbols import Instance, Quantised, Symbol, Tensor

_OBJECT = "torch.ScriptObject"
_LINEAR = "__torch__.torch.classes.quantized.LinearPackedParamsBase"
_TABLE = "__torch__.torch.classes.quantized.EmbeddingPackedParamsBase"
_CELL = "__torch__.torch.classes.rnn.CellParamsBase"
_DYNAMIC = re.compile(r"torch\.(?:ao\.)?nn\.quantized\.dynamic\.modules\.(?:rnn|linear)\.(\w+)")
_EMBEDDING = re.compile(r"torch\.(?:ao\.)?nn\.quantized\.modules\.embedding_ops\.Embedding")
_PLAIN = {"LSTM": "rnn", "GRU": "rnn", "LSTMCell": "rnn", "GRUCell": "rnn", "RNNCell": "rnn", "Linear": "linear"}
BEFORE = "save the state_dict of the model as it was before it was quantized"

_PARTS = ("_modules", "_parameters", "_buffers")         # of a pickled module, in no name of what is in them

_Pairs = list[tuple[str, Tensor]]


_LONG = 200                                            # characters of a name
_DEEPEST = 100                                         # beyond that a file is refused by who looks for its weights
_HOLDERS = (dict, list, tuple, Instance, Quantised)     # what is looked into, or refused


class _Unpacking:
    """array: the numbers of a tensor."""

    def __init__(self, array: Callable[[Tensor], np.ndarray]) -> None:
        self.array = array
        self.names: list[str] = []          # of layers of whole numbers

    def run(self, root: Any) -> None:
        seen: set[int] = set()
        todo: list[tuple[Any, str, int]] = [(root, "", 0)]
        while todo:
            value, path, depth = todo.pop()
            if id(value) in seen or depth > _DEEPEST:
                continue
            seen.add(id(value))
            if isinstance(value, Quantised):
                raise UnsupportedError(f"{path!r:.100} is a quantized tensor, whose layer computes in whole numbers; "
                                       f"{BEFORE}")
            if isinstance(value, Instance) and isinstance(value.state, dict):
                self._module(value, path)
            elif isinstance(value, dict):
                self._state_dict(value)
            todo += [(item, _path(path, "" if key in _PARTS else key), depth + 1)
                     for key, item in _children(value) if isinstance(item, _HOLDERS)]

    def _module(self, module: Instance, path: str) -> None:
        """Make a quantised module the plain one."""
        inner, name = module.state.get("_modules"), str(module.symbol)
        match = _DYNAMIC.fullmatch(name)
        kind = match[1] if match else "Embedding" if _EMBEDDING.fullmatch(name) else ""
        if not kind or not isinstance(inner, dict):
            return
        if kind not in _PLAIN and kind != "Embedding":
            raise UnsupportedError(f"the module {path!r:.100} ({name!r:.100}) is not read; {BEFORE}")
        state = {key: value for key, value in module.state.items() if isinstance(key, str)}
        flat: dict[Any, Any] = {}
        for key, value in {**state, **inner}.items():
            if key == "_all_weight_values":
                parts = _attribute(value, "_modules")
                flat |= {f"{key}.{number}.param": _attribute(part, "param") for number, part in parts.items()}
            elif key == "_packed_params":
                flat |= {f"{key}.{part}": _attribute(value, part, None)
                         for part in ("_packed_params", "_packed_weight")}
            elif key in ("_packed_weight_ih", "_packed_weight_hh", "scale", "zero_point", "bias_ih", "bias_hh"):
                flat[key] = value
        if kind == "Linear":
            self._check_output(path, flat.pop("scale", 1.0), flat.pop("zero_point", 0))
        parameters = self._plain({f"{path}.{key}" if path else key: value for key, value in flat.items()
                                  if value is not None}, state.get("bidirectional"))
        prefix = f"{path}." if path else ""
        kept = {key: value for key, value in state.items() if key not in flat and key not in (
            "scale", "zero_point", "version", "dtype", "weight_dtype", "_weight_bias_name", "_packed_params",
            "_all_weight_values")}
        home = f"torch.nn.modules.{'sparse' if kind == 'Embedding' else _PLAIN[kind]}"
        module.symbol = Symbol(home, kind)
        module.state = kept | {"_modules": {}, "_parameters": {key.removeprefix(prefix): value
                                                               for key, value in parameters.items()}}

    def _state_dict(self, names: dict[Any, Any]) -> None:
        """Give packed weights among the values of a dict the names of plain ones."""
        if not any(_PACKED.fullmatch(key) for key in names if isinstance(key, str)):
            return
        plain = self._plain(names, None)
        names.clear()
        names.update(plain)

    def _plain(self, names: dict[Any, Any], bidirectional: Any) -> dict[Any, Any]:
        """The values by name, packed ones under the names of plain ones. bidirectional: None where that is not said."""
        made: dict[Any, Any] = {}
        stacks: dict[str, dict[int, _Pairs]] = {}
        dropped: set[str] = set()
        for name, value in names.items():
            match = _PACKED.fullmatch(name) if isinstance(name, str) else None
            if match is None:
                _add(made, name, value)
                continue
            path = match["path"]
            if match["number"]:
                stacks.setdefault(path, {})[int(match["number"])] = self._cell(path[:-1], name, value)
                continue
            if match["dtype"]:
                continue
            which = match["which"] or ""
            pairs = [("weight", self._tensor(path[:-1], value))] if match["table"] else self._product(path[:-1], value)
            if which:
                pairs = [(f"{key}_{which}", tensor) for key, tensor in pairs if f"{path}{key}_{which}" not in names]
            elif not match["table"]:
                dropped.update((f"{path}scale", f"{path}zero_point"))
                self._check_output(path[:-1], names.get(f"{path}scale", 1.0), names.get(f"{path}zero_point", 0))
            for key, tensor in pairs:
                _add(made, path + key, tensor)
        for path, cells in stacks.items():
            for key, tensor in _stack(path, cells, bidirectional):
                _add(made, key, tensor)
        return {name: value for name, value in made.items() if name not in dropped}

    def _cell(self, path: str, name: str, value: Any) -> _Pairs:
        """The weights of one layer and direction of an LSTM or GRU."""
        match _state(value, _CELL):
            case ("quantized_dynamic", [Tensor() as b_ih, Tensor() as b_hh], list(), list(), [w_ih, w_hh]):
                ih, hh = dict(self._product(path, w_ih)), dict(self._product(path, w_hh))
                return [("weight_ih", ih["weight"]), ("weight_hh", hh["weight"]), ("bias_ih", b_ih), ("bias_hh", b_hh)]
            case ("quantized_fp16", list(), list(), list(), [w_ih, w_hh]):
                return [(f"{key}_{which}", tensor) for which, packed in (("ih", w_ih), ("hh", w_hh))
                        for key, tensor in self._product(path, packed)]
        raise FormatError(f"{name!r:.100} is none of the packed weights that torch writes")

    def _product(self, path: str, value: Any) -> _Pairs:
        """A packed matrix and its bias, if it has one."""
        pair = value if isinstance(value, tuple) else _state(value, _LINEAR)
        if isinstance(pair, tuple) and any(isinstance(part, Quantised) for part in pair) and path not in self.names:
            self.names.append(path)
        match pair:
            case (Quantised() | Tensor() as weight, None):
                return [("weight", self._tensor(path, weight))]
            case (Quantised() | Tensor() as weight, Tensor() as bias):
                return [("weight", self._tensor(path, weight)), ("bias", bias)]
        raise FormatError(f"the packed weights of {path!r:.100} are none that torch writes")

    def _tensor(self, path: str, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        match _state(value, _TABLE):
            case (1, [Quantised() as table], list(), list()):
                value = table
        if not isinstance(value, Quantised):
            raise FormatError(f"the packed weights of {path!r:.100} are none that torch writes")
        return replace(value.tensor, dtype="float32", quantised=value)

    def _check_output(self, path: str, scale: Any, zero: Any) -> None:
        """Raise UnsupportedError for a layer whose results are whole numbers too."""
        numbers = [float(self.array(value)) if isinstance(value, Tensor) and value.shape == () else value
                   for value in (scale, zero)]
        if numbers != [1.0, 0]:
            raise UnsupportedError(f"the layer {path!r:.100} is quantized statically, with its results (scale "
                                   f"{numbers[0]!r:.30}, zero {numbers[1]!r:.30}); {BEFORE}")


_PACKED = re.compile(r"(?P<path>(?:.*\.)?)(?:"
                     r"_packed_params\.(?:_packed_params|(?P<table>_packed_weight)|(?P<dtype>dtype))"
                     r"|_all_weight_values\.(?P<number>[0-9]{1,4})\.param|_packed_weight_(?P<which>ih|hh))")


def unpack(root: Any, array: Callable[[Tensor], np.ndarray]) -> list[str]:
    """Make packed weights plain ones wherever they stand in a file's data; the names of the layers of whole numbers.

    Raises UnsupportedError for quantised layers that are not read, FormatError for packed weights that torch does not
    write.
    """
    unpacking = _Unpacking(array)
    unpacking.run(root)
    return unpacking.names


def dequantised(whole: np.ndarray, said: Quantised, array: Callable[[Tensor], np.ndarray]
                ) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that whole ones stand for, and their scales, in float32."""
    if said.axis is None:
        scale, zero = np.float32(said.scale), said.zero
        made: np.ndarray = (whole.astype(np.int64) - zero).astype(np.float32) * scale
        return made, np.array(scale)
    beside = [-1 if axis == said.axis else 1 for axis in range(whole.ndim)]
    scales, zeros = array(said.scale).reshape(beside), array(said.zero).reshape(beside)
    if zeros.dtype.kind == "f":
        made = (whole.astype(np.float32) - zeros.astype(np.float32)) * scales.astype(np.float32)
    else:
        made = ((whole.astype(np.int64) - zeros) * scales.astype(np.float64)).astype(np.float32)
    if not ((scales > 0) & np.isfinite(scales)).all():
        raise FormatError("the scales of a quantized tensor are not all finite and above 0")
    return made, scales.astype(np.float32)


def _path(path: str, key: str) -> str:
    """The name of a part, as messages and notes say it: the end of a long one."""
    joined = f"{path}.{key[:_LONG]}" if path and key else path or key[:_LONG]
    return joined[-_LONG:]


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((key if isinstance(key, str) else str(key)[:_LONG], item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from (("", item) for item in value)
    elif isinstance(value, Instance):
        yield from (("", item) for item in (value.state, value.arguments, value.entries, value.elements))


def _attribute(module: Any, name: str, *otherwise: Any) -> Any:
    """An attribute of a pickled module."""
    state = module.state if isinstance(module, Instance) and isinstance(module.state, dict) else {}
    if name not in state and not otherwise:
        raise FormatError(f"a quantized module without {name!r}")
    found = state.get(name, *otherwise)
    if name == "_modules" and not isinstance(found, dict):
        raise FormatError(f"a quantized module whose {name!r} is no dict")
    return found


def _state(value: Any, kind: str) -> Any:
    """What an object of torch's C++ class `kind` is made of."""
    if isinstance(value, Instance) and str(value.symbol) == _OBJECT and isinstance(value.state, tuple) \
            and value.state[1:] == (kind,):
        return value.state[0]
    return None


def _add(made: dict[Any, Any], name: Any, value: Any) -> None:
    if name in made:
        raise FormatError(f"two tensors are named {name!r:.100}")
    made[name] = value


def _stack(path: str, cells: dict[int, _Pairs], bidirectional: Any) -> _Pairs:
    """The weights of an LSTM or GRU under their plain names: layers from the input up, of each its directions."""
    if sorted(cells) != list(range(len(cells))):
        raise FormatError(f"the packed weights of {path[:-1]!r:.100} are numbered {sorted(cells)[:8]}")
    sizes = []
    for number in range(len(cells)):
        shapes = {key: tensor.shape for key, tensor in cells[number]}
        if len(shapes["weight_ih"]) != 2 or len(shapes["weight_hh"]) != 2:
            raise FormatError(f"the packed weights of {path[:-1]!r:.100} are no matrices")
        sizes.append((shapes["weight_ih"][1], shapes["weight_hh"][1]))
    dirs = 2 if bidirectional is True else 1 if bidirectional is False else _directions(path, sizes)
    return [(f"{path}{key}_l{number // dirs}{'_reverse' * (number % dirs)}", tensor)
            for number, pairs in sorted(cells.items()) for key, tensor in pairs]


def _directions(path: str, sizes: list[tuple[int, int]]) -> int:
    """1 or 2, as the sizes have it: (features read, hidden) of each layer and direction."""
    hidden = sizes[0][1]
    one = all(features == hidden for features, _ in sizes[1:])
    two = len(sizes) % 2 == 0 and all(features == (2 * hidden if number > 1 else sizes[0][0])
                                      for number, (features, _) in enumerate(sizes))
    if one and two:
        _uncertain(path, hidden)
    return 2 if two else 1


def _uncertain(path: str, hidden: int) -> NoReturn:
    raise UnsupportedError(f"{path[:-1]!r:.100} can be two layers, or one of two directions: its quantized state dict "
                           f"does not say, and both read {hidden} features. Save the whole module, torch.save(model, "
                           f"...), or {BEFORE}")
