"""From the object in a torch file to its weights by name: nested checkpoints, module trees, prefixes.

Names are those of the state dict that the model would load: the containers around it and prefixes such as
`module.` are taken off. Tensors that lie beside the model keep their full names, so that nothing drops out of
sight; those known to be no weights (optimizer state, counters) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ....errors import FormatError, UnsupportedError
from ...reading.weights import MAX_NAMES, check_name
from .holders import holders
from .symbols import Instance, Opaque, Tensor

MAX_DEPTH = 64
MAX_ITEMS = 1_500_000          # a pickle has at most a million, some met twice on the way to the model
MAX_CONTAINERS = 300_000

# Keys under which training scripts and frameworks keep the model, and keys whose tensors are never weights of it.
MODEL_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights",
              "params")
# Compared word by word: a pattern over a stranger's text could take for ever.
NO_WEIGHTS = frozenset(("amp", "callbacks", "loops", "history", "metric", "metrics", "epoch"))
NO_MODEL = frozenset(("amp", "callbacks", "loops", "epoch"))           # of these the ones that are never a part of it
NO_WEIGHTS_WORD = frozenset(("opt", "optim", "optims", "optimizer", "optimizers", "sched", "scheds", "scheduler",
                             "schedulers", "rng"))
NO_WEIGHTS_END = ("random_state", "loss", "losses", "step")
# What a training was told: what tensors it may hold (weights of a loss, means of a target) are named, not taken.
SETTINGS = frozenset(("hyper_parameters", "datamodule_hyper_parameters", "hparams", "hyperparameters", "hyperparams",
                      "config", "cfg", "args"))
WRAPPERS = ("module.", "_orig_mod.")           # DataParallel, torch.compile
# Buffers that count batches or operations and take no part in what a model computes.
COUNTERS = ("n_averaged",)                     # of torch.optim.swa_utils.AveragedModel, beside a prefix on all others
IGNORED = ("*num_batches_tracked", "*total_ops", "*total_params", *COUNTERS)

EXTRA_STATE = "_extra_state"
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_REPEATED = "_flat_weights"                    # nn.LSTM's own list of the weights it also has by name
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Found:
    """The weights of a checkpoint by name, in the file's order; `module` if a whole pickled module holds them,
    `inner` if what lies among them may say that something else is computed of them (whole modules, calls over tensors,
    tensors of other classes, extra state): what, and where one is. Left out: `aside`, tensors without axes beside the
    model, such as the best score of a training; `settings`, tensors in what the training was told; `training`, what
    stands under names of a training's own, and is called as a layer's weights are; `arrays`, those of NumPy."""

    tensors: dict[str, Tensor]
    module: Instance | None = None
    inner: str | None = None
    aside: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()


def find_weights(root: Any) -> Found:
    """The weights of a checkpoint, and what holds them.

    Raises UnsupportedError if there are none or some are NumPy arrays, FormatError for data without an end.
    """
    walk = _Walk(root)
    model, beside = _find_model(root, "", walk, 0)
    walk.arrays.clear()
    walk.modules.clear()
    walk.states.clear()
    tensors = without_wrappers(_by_name(walk.tensors(model, "", 0)))
    if walk.arrays:
        raise UnsupportedError(f"{walk.arrays[0]!r:.100} is a pickled NumPy array; save the model's state_dict with "
                               "torch.save, or the arrays with numpy.savez")
    if not tensors:
        raise UnsupportedError("the file holds no tensors; expected a state dict, or a checkpoint with one in it")
    if twice := next((name for name in beside if name in tensors), None):
        raise FormatError(f"two tensors are named {twice!r:.100}")
    found = tensors | beside
    _check_entries(model, walk)
    left = tuple(walk.aside), tuple(walk.settings), tuple(walk.training), tuple(walk.beside)
    odd = [f"tensors of a class of their own, such as {name!r:.100} ({tensor.kind!r:.100}), which may compute "
           "something else of their numbers" for name, tensor in tensors.items() if tensor.kind]
    if is_module(model):
        return Found(found, model, next(iter(odd), None), *left)
    return Found(found, None, next(iter([*walk.modules, *odd, *walk.states]), None), *left)


def _by_name(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors as a dict. Raises FormatError for two of one name, which nested keys, numbers and texts can make: a dict
    would keep the last. One tensor that is met twice is one."""
    made: dict[str, Tensor] = {}
    for name, tensor in tensors:
        if made.setdefault(name, tensor) != tensor:
            raise FormatError(f"two tensors are named {name!r:.100}")
    return made


def is_weight_name(name: Any) -> bool:
    """Whether a layer of torch.nn would call a tensor so: under such a name nothing else may stand."""
    last = name.rpartition(".")[2] if isinstance(name, str) else ""
    return last in ("weight", "bias") or last.startswith(("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"))


def is_extra_state(name: Any) -> bool:
    """Whether a name is that of what a module keeps beside its tensors (nn.Module.get_extra_state)."""
    return isinstance(name, str) and name.endswith(EXTRA_STATE) and name.rpartition(".")[2] == EXTRA_STATE


def _is_nothing(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, list, tuple, dict)) and not value


def _check_entries(model: Any, walk: _Walk) -> None:
    """Raise UnsupportedError for a name of a weight, among weights, under which something else stands."""
    if not isinstance(model, dict) or not any(isinstance(value, Tensor) for value in model.values()):
        return
    for key, value in model.items():
        if is_weight_name(key) and value is not None and id(value) not in walk.bearing:
            raise UnsupportedError(f"{key!r:.100} is no tensor but a {type(value).__name__}"
                                   f"{f' of {str(value.symbol)!r:.100}' if isinstance(value, _OBJECTS) else ''}; "
                                   "expected a state dict, which holds tensors under such names")


def is_module(value: Any) -> bool:
    """Whether an object is a whole pickled nn.Module, or the object of a TorchScript archive."""
    return isinstance(value, Instance) and (value.symbol.module.partition(".")[0] == "__torch__" or (
        isinstance(value.state, dict) and any(part in value.state for part in _MODULE_PARTS)))


def _find_model(root: Any, path: str, walk: _Walk, depth: int) -> tuple[Any, dict[str, Tensor]]:
    """The part of a checkpoint that is the model, and the tensors beside it by their full names.

    A dict is taken to hold the model in one of its entries if exactly one entry is called as in MODEL_KEYS, or
    if exactly one entry but for SETTINGS has tensors at all; otherwise it is itself the model.
    """
    if not isinstance(root, dict) or depth > MAX_DEPTH:
        return root, {}
    check_name(path)
    inside = {key: list(walk.tensors(value, "", depth)) for key, value in root.items()
              if not isinstance(value, Tensor) and not _is_no_weight(key)}
    boxes = [key for key, tensors in inside.items() if tensors]
    doubtful = {key: layers for key, value in root.items() if _could_be_a_model(key)
                if (layers := [name for name, tensor in walk.tensors(value, "", depth)
                               if len(tensor.shape) > 1 and is_weight_name(name)])}
    single = {f"{path}{key}": value for key, value in root.items()
              if isinstance(value, Tensor) and value.shape and not _is_no_weight(key)}
    known = [key for key in boxes if key in MODEL_KEYS]
    others = ([key for key in boxes if key not in SETTINGS] or boxes) + list(doubtful)
    if len(known) != 1 and (single or len(others) != 1 or others[0] in doubtful):
        return root, {}
    chosen = known[0] if len(known) == 1 else others[0]
    told = [key for key in boxes if key in SETTINGS and key != chosen]
    boxes = [key for key in boxes if key not in told]
    walk.settings += [f"{path}{key}.{name}" for key in told for name, _ in inside[key]]
    walk.beside += [f"{path}{key}" for key, value in root.items() if _is_array(value) and not _is_no_weight(key)]
    walk.training += [f"{path}{key}.{name}" for key in doubtful if key != chosen for name in doubtful[key]]
    walk.aside += [f"{path}{key}" for key, value in root.items()
                   if isinstance(value, Tensor) and not value.shape and not _is_no_weight(key)]
    more = [(f"{path}{key}.{name}", tensor) for key in boxes if key != chosen for name, tensor in inside[key]]
    model, beside = _find_model(root[chosen], f"{path}{chosen}.", walk, depth + 1)
    return model, _by_name([*single.items(), *more, *beside.items()])


def _is_no_weight(key: Any) -> bool:
    """Whether a key is called as what training keeps beside the model: `lr_scheduler`, `optimizer_1`, `val_loss`."""
    if not isinstance(key, str) or not key.replace("_", "a").isalnum():
        return False
    lower = key.lower()
    return lower in NO_WEIGHTS or not NO_WEIGHTS_WORD.isdisjoint(lower.split("_")) \
        or f"_{lower}".endswith(tuple(f"_{end}" for end in NO_WEIGHTS_END))


def _could_be_a_model(key: Any) -> bool:
    """Whether a key is called as what training keeps, and could be a part of the model as well: `history`, `step`."""
    return _is_no_weight(key) and key.lower() not in NO_MODEL and NO_WEIGHTS_WORD.isdisjoint(key.lower().split("_")) \
        and not key.lower().endswith("random_state")


def without_wrappers(tensors: Mapping[str, _Item]) -> dict[str, _Item]:
    """What is named, without the prefixes that wrappers put before every name."""
    while tensors:
        named = [name for name in tensors if name not in COUNTERS]
        prefix = next((wrapper for wrapper in WRAPPERS if named and all(map(_begins(wrapper), named))), None)
        if prefix is None:
            break
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(bare) != len(tensors):
            twice = next(name for name in tensors if not name.startswith(prefix) and f"{prefix}{name}" in tensors)
            raise FormatError(f"{twice!r:.100} and {f'{prefix}{twice}'!r:.100} are one name without the prefix of a "
                              "wrapper; save one of them alone")
        tensors = bare
    return dict(tensors)


def _begins(prefix: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefix)


_CONTAINERS = (dict, list, tuple, Instance)
_OBJECTS = (Instance, Opaque)
_WALKED = (*_CONTAINERS, Tensor, Opaque)


class _Walk:
    """Visits a tree of data, of it what holds anything of weight. The file may have tied that into a knot: depth, count
    and cycles are checked."""

    def __init__(self, root: Any) -> None:
        self.arrays: list[str] = []            # names of pickled NumPy arrays that were met
        self.modules: list[str] = []           # whole modules and calls over tensors that were met: where, and of what
        self.aside: list[str] = []             # names of tensors without axes beside the model
        self.settings: list[str] = []          # names of tensors in what a training was told
        self.training: list[str] = []          # names of weights under what is called as a training's own
        self.beside: list[str] = []            # names of NumPy arrays beside the model
        self.states: list[str] = []            # modules' extra state that is no tensor: what, where one is
        self.bearing = holders(root, _inside, _matters)
        self._items = 0
        self._containers = 0
        self._letters = 0
        self._open: set[int] = set()           # containers that are being walked through

    def tensors(self, value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
        check_name(path)
        self._letters += len(path)
        if self._letters > MAX_NAMES:
            raise FormatError(f"names of more than {MAX_NAMES} characters in all, counted as often as they are shared")
        if isinstance(value, Tensor):
            yield path, value
            return
        if _is_array(value):
            self.arrays.append(path)
        if not isinstance(value, _CONTAINERS) or id(value) not in self.bearing:
            return
        if isinstance(value, Instance) and is_module(value):
            self.modules.append(f"whole modules, such as {path!r:.100} ({str(value.symbol)!r:.100})")
        elif isinstance(value, Instance) and value.called:
            self.modules.append(f"tensors in calls that are never made, such as {path!r:.100} "
                                f"({str(value.symbol)!r:.100})")
        if id(value) in self._open:
            raise FormatError(f"the container {path!r:.100} holds itself")
        if depth > MAX_DEPTH:
            raise FormatError(f"the container {path!r:.100} is nested more than {MAX_DEPTH} deep")
        self._containers += 1
        self._open.add(id(value))
        for key, item in _children(value):
            self._items += 1
            if self._items > MAX_ITEMS or self._containers > MAX_CONTAINERS:
                raise FormatError(f"more than {MAX_ITEMS} items or {MAX_CONTAINERS} containers, counted as often as "
                                  "they are shared")
            if is_extra_state(key) and not isinstance(item, Tensor) and not _is_nothing(item):
                self.states.append(f"extra state of a module, {f'{path}.{key}' if path else key!r:.100}, which may "
                                   "change what it computes")
            if isinstance(item, _WALKED):
                yield from self.tensors(item, f"{path}.{key}" if path else str(key), depth + 1)
        self._open.discard(id(value))


def _is_array(value: Any) -> bool:
    return isinstance(value, Opaque) and value.symbol.name == "_reconstruct"


def _matters(value: Any) -> bool:
    return isinstance(value, Tensor) or _is_array(value) or is_module(value)


def _inside(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """The items of a container that can hold something of weight."""
    if not isinstance(value, _CONTAINERS):
        return None
    return ((key, item) for key, item in _children(value) if isinstance(item, _WALKED))


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    else:
        yield from value.entries.items()
        yield from enumerate(value.elements)
        yield from enumerate(value.arguments)
        if not isinstance(value.state, dict):
            yield "state", value.state
            return
        for part in _MODULE_PARTS:             # a pickled nn.Module; a TorchScript one has its parts as attributes
            if isinstance(value.state.get(part), dict):
                yield from value.state[part].items()
        for key, item in value.state.items():
            if key not in _MODULE_PARTS and key != _REPEATED:
                yield key, item
