"""What a checkpoint or a live module of torch is, and who reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import ArgumentError, UnsupportedError
from ...files import HEAD_BYTES, ModelFile, first_bytes, telling_bytes
from ...graph import Graph
from ...graph.stored import with_int8
from ..arrays.spec import graph_from_spec
from ..base import ImportOptions, are
from ..reading.foreign import refuse_foreign
from ..reading.hugging_face import CONFIG
from ..reading.spec_file import load_spec
from . import script
from .beside import check_config, config_beside, refuse_architecture
from .checkpoints.begins import knows
from .checkpoints.checkpoint import IGNORED
from .checkpoints.files import Contents, open_contents
from .modules.live import examples_of, is_chain_of_ours, refuse_quantised, spec_of_chain, weights_of
from .modules.pickled import spec_of_pickled
from .program import read_program
from .program.export import graph_of_module
from .state_dict.described import spec_of_described
from .state_dict.draft import propose_or_draft
from .state_dict.propose import propose
from .state_dict.readings import Settled
from .state_dict.reparametrised import reparametrised
from .ways import EXPORT


def read(path: ModelFile, options: ImportOptions) -> Graph:
    """The graph of a checkpoint: by `options.spec`; of a whole pickled module, what its classes prove; of weights
    alone, the only chain that their names and shapes allow, with what it assumes in the graph's metadata.

    Raises FileError, FormatError, UnsupportedError, ArgumentError; the message begins with the path.
    """
    program = script.read_program(path, options) if options.spec is not None else read_program(path, options)
    if program is not None:
        return _sourced(program, path.name, {})
    spec = _given(options)
    with open_contents(path, options.limits) as contents:
        if spec is None:
            config = config_beside(path)
            if config is not None:
                check_config(config, contents.weights)
                if not options.readings():
                    refuse_architecture(config, EXPORT)
            spec = _spec_of(path, contents, options)
            if config is not None:
                spec.setdefault("notes", []).append(config.note())
        made, _ = reparametrised(contents.weights)
        graph = with_int8(graph_from_spec(spec, contents.weights.with_derived(made), IGNORED), contents.scales)
        if contents.quantised:
            said = {"quantised_by_torch": ", ".join(contents.quantised)}
            graph = dataclasses.replace(graph, metadata={**graph.metadata, **said})
    return _sourced(graph, path.name, spec if options.spec is None else {})


def read_live(source: object, options: ImportOptions) -> Graph:
    """The graph of a live module: by `options.spec`, of an nn.Sequential that only we can run from its parts, else of
    the program that torch.export makes of it (`example_inputs` are made up where the first layer settles them).
    """
    module: Any = source
    where = type(source).__qualname__
    refuse_quantised(module)
    spec = _given(options)
    Settled.of(options.pool, None, None)
    if options.activations is not None or options.order is not None:
        raise ArgumentError("activations and order are for files of weights alone; a live module says what it computes")
    if spec is None and (options.pool is not None or is_chain_of_ours(module)):
        spec = spec_of_chain(module, weights_of(module), options.pool)
    if spec is None:
        return _sourced(graph_of_module(module, examples_of(module, options.example_inputs)), where, {})
    if options.example_inputs is not None:
        raise ArgumentError("example_inputs are for a module that is converted as the program it is; pool and spec say "
                            "otherwise what it computes, and so do the parts of an nn.Sequential that torch cannot run")
    return _sourced(graph_from_spec(spec, weights_of(module), IGNORED), where, {})


def propose_spec(path: Path | str) -> dict[str, Any]:
    """A spec for a checkpoint, as plain data for a JSON file: complete, or a draft whose "notes" say what to check.

    Raises FileError, FormatError, UnsupportedError (no layer was found).
    """
    head = first_bytes(path, HEAD_BYTES)
    if not knows(head) and not knows(telling_bytes(path, head)):
        refuse_foreign(Path(path), head)
    with open_contents(Path(path)) as contents:
        module, program = contents.module, contents.program
        if contents.scripted:
            return script.propose(Path(path))
        if module is not None:
            try:
                return spec_of_pickled(module, contents.weights) | {"notes": []}
            except UnsupportedError:
                program = f"it holds a whole module, {str(module.symbol)!r:.100}, which is not read"
        if contents.described is not None:
            try:
                return spec_of_described(contents.described, contents.weights)
            except UnsupportedError as error:
                program = str(error)
        config = config_beside(Path(path))
        if config is not None:
            check_config(config, contents.weights)
            if config.architecture:
                program = program or f"{CONFIG!r} says that it is of {config.architecture}, whose forward no file says"
        spec = propose_or_draft(contents.weights, program)
        if config is not None:
            spec["notes"].append(config.note())
        return spec


def _spec_of(path: ModelFile, contents: Contents, options: ImportOptions) -> dict[str, Any]:
    """The spec of a file that is given none."""
    if contents.scripted and (wanted := script.inputs_wanted(path)):
        raise UnsupportedError("a TorchScript archive, which does not say the shapes of its inputs. Say them, with a "
                               "name for each open size, and \"dtypes\" of those that are no float32: "
                               f"{wanted} (--spec, docs/torch.md). {EXPORT}")
    if contents.program is not None:
        raise UnsupportedError(f"{contents.program}, so what it computes is not known. {EXPORT}")
    if contents.described is not None:
        if given := options.readings():
            raise ArgumentError(f"{are(given)} for weights alone; 'model_data' in this file says what it computes (a "
                                "spec can say otherwise)")
        spec = spec_of_described(contents.described, contents.weights)
        spec["notes"] += contents.notes
        return spec
    if contents.module is None:
        spec = propose(contents.weights, options.pool, None, options.activations, options.order)
        for what, names in (("tensors without axes beside the weights", contents.aside),
                            ("tensors in what the training was told", contents.settings),
                            ("weights under what is called as a training's own", contents.training),
                            ("arrays of NumPy beside the weights", contents.arrays)):
            if names:
                spec["notes"].append(f"{what} take no part: {', '.join(f'{name!r:.100}' for name in names[:8])}"
                                     f"{f' and {len(names) - 8} more' if len(names) > 8 else ''}")
        spec["notes"] += contents.notes
        return spec
    spec = spec_of_pickled(contents.module, contents.weights)
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for weights alone; this file holds a whole module that says what it "
                            "computes (a spec can say otherwise)")
    return spec


def _given(options: ImportOptions) -> Any:
    if options.spec is None:
        return None
    if given := options.readings():
        raise ArgumentError(f"{' and '.join(given)} and spec exclude each other: in a spec, a Pool node says how a "
                            "sequence is reduced, each node has its activation, and nodes stand in their order")
    return load_spec(options.spec)


def _sourced(graph: Graph, source: str, spec: Mapping[str, Any] = MappingProxyType({})) -> Graph:
    """The graph with its origin, and the notes of a spec that was made here: one assumption a line."""
    # The name of a file is bytes, which need not be text; metadata is.
    origin = {"source": source.encode("utf-8", "backslashreplace").decode(), "producer": "torch"}
    if spec.get("notes"):
        origin["assumptions"] = "\n".join(spec["notes"])
    return dataclasses.replace(graph, metadata={**origin, **graph.metadata})
