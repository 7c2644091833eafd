"""Arrays beside weights that change what these mean, and nothing here computes: named for what they are, with what to
save instead. To leave them out would be another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_ADAPTERS = frozenset(("lora_A", "lora_B", "lora_E", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
                       "lora_down", "lora_up", "ia3_l", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "lokr_w1",
                       "lokr_w2", "oft_r", "vera_lambda_b", "vera_lambda_d"))
_BITSANDBYTES = frozenset(("SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state"))
_GPTQ = frozenset(("qweight", "qzeros", "g_idx"))
_SCALES = frozenset(("weight_scale", "weight_scale_inv", "weight_scale_2", "weight_global_scale", "weight_zero_point",
                     "weight_packed", "input_scale", "input_zero_point", "output_scale", "output_zero_point",
                     "scale_weight", "zero_point"))
_OBSERVERS = frozenset(("activation_post_process", "weight_fake_quant", "fake_quant_enabled", "observer_enabled",
                        "_packed_params", "input_quantizer", "weight_quantizer", "output_quantizer"))


@dataclass(frozen=True)
class _Kind:
    """told: by the parts of a name, between its dots. advice: what to type."""

    what: str
    told: Callable[[list[str]], bool]
    advice: str


def _one_of(words: frozenset[str]) -> Callable[[list[str]], bool]:
    return lambda parts: not words.isdisjoint(parts)


def _ends(*endings: str) -> Callable[[list[str]], bool]:
    return lambda parts: parts[-1].startswith(("weight", "bias")) and parts[-1].endswith(endings)


_BEFORE = "save the state_dict of the model as it was before it was quantized"
_KINDS = (
    _Kind("of an adapter (LoRA or one like it)", _one_of(_ADAPTERS),
          "merge it into the weights, model = model.merge_and_unload() in PEFT, and save the state_dict of that"),
    _Kind("of weights quantised by bitsandbytes", _one_of(_BITSANDBYTES),
          f"save model.dequantize().state_dict() (transformers), or {_BEFORE}"),
    _Kind("of weights quantised by GPTQ or AWQ", _one_of(_GPTQ), _BEFORE),
    _Kind("what observes or rounds values in quantisation-aware training", _one_of(_OBSERVERS), _BEFORE),
    _Kind("the scale or zero of quantised numbers", lambda parts: parts[-1] in _SCALES,
          f"multiply the weights by it and save them as float32, or {_BEFORE}"),
    _Kind("of a parametrization that is neither weight_norm nor spectral_norm",
          lambda parts: "parametrizations" in parts[:-1],
          "call torch.nn.utils.parametrize.remove_parametrizations(module, NAME), and save the state_dict"),
    _Kind("of a pruned weight, not all of which is here", _ends("_orig", "_mask"),
          "call torch.nn.utils.prune.remove(module, NAME), and save the state_dict"),
    _Kind("the extra state of a module (get_extra_state)", lambda parts: parts[-1] == "_extra_state",
          "export what the module computes: torch.export.export"),
)


def altering(names: Iterable[str]) -> str | None:
    """What the first of the names that is such says that it is, and what to do; None if none is."""
    for name in names:
        parts = name.split(".")
        for kind in _KINDS:
            if kind.told(parts):
                return f"{name!r:.100} is {kind.what}: the weights beside it are not what runs; {kind.advice}"
    return None
