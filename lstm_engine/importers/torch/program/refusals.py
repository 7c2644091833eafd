"""Operators that no converted model can have, by what they are, and what to do instead."""

from __future__ import annotations

_RANDOM = ("it draws random numbers, and a converted model gives one answer: in eval mode take the mean or the "
           "greatest, or give the noise as an input")
_SIZES = "the size of its result is known only when the model runs; use torch.where and masks"
_COMPLEX = ("complex numbers are not supported; transform the signal before the model, or by products with cosines and "
            "sines")
_SPARSE = "sparse tensors are not supported; use dense ones"
_QUANTISED = "quantised tensors are not supported; convert the module as it was before they were made"
_MEMORY = "it reads the memory of a tensor in another layout; use view, permute and slices"
_VALUE = "a number taken out of a tensor is known only when the model runs; keep it in a tensor"
_WEIGHTS = ("it makes a weight of parameters; before the export, torch.nn.utils.parametrize.remove_parametrizations("
            "layer, \"weight\"), or convert the live module")
_RENORM = "max_norm rescales rows of the table while the model runs; rescale them once, before"
_BRANCH = "a branch or loop on values is not supported; compute both sides and torch.where"

_REASONS = {
    _RANDOM: "rand randn rand_like randn_like randint randint_like randperm bernoulli normal multinomial poisson "
             "uniform exponential rrelu_with_noise geometric cauchy log_normal random",
    _SIZES: "nonzero nonzero_numpy unique _unique _unique2 unique_consecutive unique_dim argwhere "
            "bincount masked_scatter nonzero_static",
    _COMPLEX: "stft istft complex polar view_as_complex view_as_real real imag angle _conj",
    _SPARSE: "to_sparse _to_sparse to_dense _to_dense sparse_coo_tensor _sparse_mm sparse_mask coalesce",
    _QUANTISED: "quantize_per_tensor quantize_per_channel dequantize fake_quantize_per_tensor_affine "
                "fake_quantize_per_channel_affine quantized_lstm quantized_gru",
    _MEMORY: "as_strided as_strided_ set set_ resize resize_ view_as_strided",
    _VALUE: "item _local_scalar_dense",
    _WEIGHTS: "matrix_exp linalg_matrix_exp linalg_qr linalg_householder_product linalg_solve linalg_inv",
    _RENORM: "embedding_renorm embedding_renorm_ renorm",
    _BRANCH: "cond while_loop scan map map_impl associative_scan",
}
_BY_NAME = {name: reason for reason, names in _REASONS.items() for name in names.split()}
_BY_SPACE = {"quantized.": _QUANTISED, "quantized_decomposed.": _QUANTISED, "_quantized.": _QUANTISED,
             "torchao.": _QUANTISED, "higher_order.": _BRANCH, "aten.fft_": _COMPLEX, "aten._fft_": _COMPLEX,
             "aten.view.dtype": _MEMORY, "prims.": "it is of torch's inner vocabulary; do not decompose the program"}


def why(target: str) -> str:
    """Why an operator is not supported and what to do instead, to stand behind its name; "" if there is no more to
    say. target: as the program has it, "torch.ops.aten.randn.default"."""
    path = target.removeprefix("torch.ops.")
    name = path.split(".")[1] if path.count(".") else path
    reason = next((text for start, text in _BY_SPACE.items() if path.startswith(start)), "")
    if name == "wrap_with_autocast" and path.startswith("higher_order."):
        reason = "a part of the program under autocast, which computes in half precision; leave autocast out"
    reason = _BY_NAME.get(name) or _BY_NAME.get(name.removesuffix("_")) or reason
    return f": {reason}" if reason else ""
