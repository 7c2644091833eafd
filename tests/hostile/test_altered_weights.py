"""What lies beside weights and changes what they mean, and is not computed here: refused by name, with what to type."""

from __future__ import annotations

import json
import re

import pytest
from torch_bytes import call, checkpoint, items, mapping, number, storage, symbol, tensor, text, write

from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError
from lstm_engine.importers import import_graph
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.drafts import propose_spec

GRU = {"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1))}
R_GRU = {f"r.{name}": value for name, value in GRU.items()}
ONE, SCALAR = tensor((1,), (1,)), tensor((), ())
SPEC = {"inputs": [{"name": "x", "shape": ["batch", "time", 2]}], "nodes": [{"op": "GRU", "name": "r", "torch": "r"}]}
ARRAYS = {"weight_ih_l0": [[1.0, 2.0]] * 3, "weight_hh_l0": [[0.5]] * 3}


def refused(tmp_path, data, name="bad.pt", **options):
    path = write(tmp_path, data, name)
    with pytest.raises((UnsupportedError, FormatError)) as caught:
        import_graph(path, ImportOptions(**options))
    return str(caught.value).removeprefix(f"{path}: ")


NAMES = {
    "fc.lora_A": "of an adapter (LoRA or one like it): .*merge_and_unload",
    "fc.lora_B.default.weight": "of an adapter", "fc.lora_magnitude_vector": "of an adapter",
    "r.SCB": "of weights quantised by bitsandbytes: .*dequantize", "r.weight.absmax": "of weights quantised by bits",
    "r.weight.quant_state.bitsandbytes__nf4": "of weights quantised by bitsandbytes",
    "r.weight.quant_map": "of weights quantised by",
    "fc.qweight": "of weights quantised by GPTQ or AWQ: .*before it was quantized",
    "fc.qzeros": "of weights quantised by",
    "r.weight_scale": "the scale or zero of quantised numbers: .*multiply the weights by it",
    "r.zero_point": "the scale or zero", "acc.zero_point": "the scale or zero",
    "r.activation_post_process.min_val": "what observes or rounds values", "r.weight_fake_quant.scale": "what observes",
    "r.parametrizations.weight_hh_l0.original": "of a parametrization .*remove_parametrizations",
    "r.weight_hh_l0_orig": "of a pruned weight, .*prune.remove", "r.weight_hh_l0_mask": "of a pruned weight",
    "r._extra_state": "the extra state of a module .*torch.export.export",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_what_changes_weights(tmp_path, name):
    data = checkpoint(mapping(R_GRU | {name: ONE}))
    for message in (refused(tmp_path, data), refused(tmp_path, data, spec=SPEC)):
        assert re.search(rf"{re.escape(repr(name))} is {NAMES[name].replace('(', '[(]').replace(')', '[)]')}", message)
    # A spec says otherwise.
    graph = import_graph(write(tmp_path, data), ImportOptions(spec=SPEC | {"ignore": [name]}))
    assert graph.nodes[0].W.shape == (1, 3, 2)


def test_a_recurrent_weight_that_is_parametrized_is_refused_by_the_parametrization(tmp_path):
    """Without the weight itself: its absence is not the reason. The draft says the same."""
    state = {"r.weight_ih_l0": GRU["weight_ih_l0"], "r.parametrizations.weight_hh_l0.original": GRU["weight_hh_l0"]}
    message = refused(tmp_path, checkpoint(mapping(state)))
    assert message.startswith("'r.parametrizations.weight_hh_l0.original' is of a parametrization")
    with pytest.raises(UnsupportedError, match="is of a parametrization"):
        propose_spec(write(tmp_path, checkpoint(mapping(state))))


def test_a_factor_is_no_count_of_a_metric(tmp_path):
    assert "'accuracy.gain' []" in refused(tmp_path, checkpoint(mapping(R_GRU | {"accuracy.gain": SCALAR})))
    counts = {"accuracy.correct": SCALAR, "r.num_batches_tracked": SCALAR}
    import_graph(write(tmp_path, checkpoint(mapping(R_GRU | counts))))


@pytest.mark.parametrize("value", [mapping({"scale": number(3)}), text("x"), number(3), items(ONE)])
def test_extra_state_that_is_no_tensor(tmp_path, value):
    """It lies in the state dict among the tensors, and could drop out of sight."""
    data = checkpoint(mapping({"state_dict": mapping(R_GRU | {"r._extra_state": value})}))
    message = refused(tmp_path, data)
    assert "r._extra_state" in message and "torch.export.export" in message
    if value != items(ONE):
        assert import_graph(write(tmp_path, data), ImportOptions(spec=SPEC))
        assert propose_spec(write(tmp_path, data))["notes"][0].startswith(
            "a draft, to be corrected: it holds extra state of a module, 'r._extra_state', which may change what it")


@pytest.mark.parametrize("value", [b"N", b"}", text("")])
def test_extra_state_of_nothing_is_nothing(tmp_path, value):
    import_graph(write(tmp_path, checkpoint(mapping(R_GRU | {"r._extra_state": value}))))


def typed(module, name):
    """As torch keeps a tensor of a class of its own."""
    return call(symbol("torch._tensor", "_rebuild_from_type_v2"), symbol("torch._utils", "_rebuild_tensor_v2"),
                symbol(module, name), items(storage(), number(0), items(number(3), number(1)),
                                            items(number(1), number(1)), b"\x89", b"}"), mapping({"scale": number(3)}))


def test_tensors_of_other_classes(tmp_path):
    data = checkpoint(mapping(R_GRU | {"r.weight_hh_l0": typed("scaled", "ScaledTensor")}))
    assert refused(tmp_path, data).startswith(
        "it holds tensors of a class of their own, such as 'r.weight_hh_l0' ('scaled.ScaledTensor'), which may compute "
        "something else of their numbers, so what it computes is not known. Where its Python class is, ")
    assert import_graph(write(tmp_path, data), ImportOptions(spec=SPEC))
    for module, name in (("torch", "Tensor"), ("torch.nn.parameter", "Buffer")):
        import_graph(write(tmp_path, checkpoint(mapping(R_GRU | {"r.weight_hh_l0": typed(module, name)}))))


def test_tensors_of_other_classes_in_shards(tmp_path):
    write(tmp_path, checkpoint(mapping({"weight_hh_l0": typed("scaled", "ScaledTensor")})), "b")
    index = json.dumps({"weight_map": {"weight_hh_l0": "b"}}).encode()
    assert refused(tmp_path, index, "pytorch_model.bin.index.json").startswith(
        "shard 'b': 'weight_hh_l0' is a tensor of the class 'scaled.ScaledTensor', which may compute something else of")


@pytest.mark.parametrize("function, message", [
    ("_rebuild_sparse_tensor", "a sparse tensor; save plain tensors: torch.save({name: value.to_dense()"),
    ("_rebuild_wrapper_subclass", "a tensor of a class of its own, which may compute"),
])
def test_tensors_that_are_no_plain_numbers(tmp_path, function, message):
    data = checkpoint(mapping(GRU | {"w": call(symbol("torch._utils", function), storage())}))
    assert f"'torch._utils.{function}': {message}" in refused(tmp_path, data)
    data = checkpoint(mapping(GRU | {"w": tensor(over=storage(kind=symbol("torch", "QUInt4x2Storage")))}))
    assert "it holds quantized numbers: save the state_dict of the model as it was before" in refused(tmp_path, data)


@pytest.mark.parametrize("key", ["history", "step", "metric", "aux_loss"])
def test_a_part_of_the_model_that_is_called_as_a_trainings_own(tmp_path, key):
    """Two parts and no word of which is the model: all are taken. Where it is said, what is left out is named."""
    head = mapping({"weight": tensor((4, 1), (1, 1)), "bias": tensor((4,), (1,))})
    graph = import_graph(write(tmp_path, checkpoint(mapping({"r": mapping(GRU), key: head}))))
    assert [node.name for node in graph.nodes] == ["r", key]
    graph = import_graph(write(tmp_path, checkpoint(mapping({"model": mapping(GRU), key: head}))))
    assert [node.name for node in graph.nodes] == ["gru"]
    assert f"weights under what is called as a training's own take no part: '{key}.weight'" in \
        graph.metadata["assumptions"].split("\n")


@pytest.mark.parametrize("key", ["callbacks", "optimizer", "random_state", "lr_scheduler"])
def test_what_is_never_a_part_of_the_model(tmp_path, key):
    graph = import_graph(write(tmp_path, checkpoint(mapping({"r": mapping(GRU), key: mapping(GRU)}))))
    assert "take no part" not in graph.metadata["assumptions"]


@pytest.mark.parametrize("content, message", [
    ({"state_dict": ARRAYS | {"weight_scale": 0.02}}, "'weight_scale' is the scale or zero of quantised numbers"),
    ({f"r.{name}": value for name, value in ARRAYS.items()} | {"r.gain": 0.02}, "'r.gain' []"),
    ({"r": ARRAYS | {"gain": 2}}, "'r.gain' []"),
    ({f"r.{name}": value for name, value in ARRAYS.items()} | {"r._extra_state": {"scale": 2}},
     "it holds extra state of a module, 'r._extra_state.scale'"),
    ({"state_dict": ARRAYS | {"_extra_state": "x"}}, "it holds extra state of a module, '_extra_state'"),
], ids=["state_dict", "dotted", "nested", "inside", "extra"])
def test_numbers_in_json_that_are_tensors_without_axes(tmp_path, content, message):
    assert message in refused(tmp_path, json.dumps(content).encode(), "a.json")


def test_numbers_in_json_that_are_a_trainings(tmp_path):
    graph = import_graph(write(tmp_path, json.dumps(ARRAYS | {"epoch": 3, "loss": 0.5}).encode(), "a.json"))
    assert "what stands beside the arrays takes no part: 'epoch', 'loss'" in graph.metadata["assumptions"]
    import_graph(write(tmp_path, json.dumps({"state_dict": ARRAYS | {"num_batches_tracked": 3}}).encode(), "a.json"))


def test_the_good_ones(tmp_path):
    """What the names above are taken from opens without them."""
    for state in (GRU, R_GRU):
        assert import_graph(write(tmp_path, checkpoint(mapping(state)))).nodes[0].W.shape == (1, 3, 2)
    with pytest.raises(LstmEngineError):
        import_graph(write(tmp_path, checkpoint(mapping({"r.weight_scale": ONE}))))
