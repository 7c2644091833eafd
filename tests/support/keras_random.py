"""Random Keras models: wrappers, masks, models inside models, layers used twice, states handed on, frozen parts.

`Builder(seed).model()` gives the same architecture for the same seed, whatever the precision Keras is set to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops

VOCABULARY = 9
ACTIVATIONS = ("tanh", "sigmoid", "relu", "linear", "softplus", "softsign", "elu", "selu", "gelu", "silu", "mish",
               "hard_sigmoid", "relu6", "leaky_relu", "exponential")
CELL_ACTIVATIONS = ("tanh", "tanh", "tanh", "relu", "softsign", "elu", "linear")
GATES = ("sigmoid", "sigmoid", "hard_sigmoid", "softsign")
MERGES = ("concat", "sum", "mul", "ave", None)


class Builder:
    """Draws one model. time: the steps of its sequences if they are fixed, None if free."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.time = int(self.rng.integers(2, 7)) if self.rng.random() < 0.35 else None
        self.shared: dict[tuple[str, int], Any] = {}      # layers to be used again, by kind and features
        self.depth = 0

    # ---- drawing ------------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def units(self) -> int:
        return int(self.rng.integers(1, 6))

    # ---- the whole model ----------------------------------------------------------------------------------

    def model(self) -> keras.Model:
        """A model of one to three inputs, with some parts frozen once it is built."""
        made = self._sequential() if self.chance(0.15) else self._functional()
        self._freeze(made)
        return made

    def _sequential(self) -> keras.Model:
        if self.chance(0.5):
            stack = [L.Input((self.time,), dtype="int32"),
                     L.Embedding(VOCABULARY, self.units(), mask_zero=self.chance(0.6))]
        else:
            stack = [L.Input((self.time, self.units()))] + ([L.Masking()] if self.chance(0.4) else [])
        for _ in range(int(self.rng.integers(1, 4))):
            stack.append(self._sequence_layer())
        stack.append(self.pick([L.GlobalAveragePooling1D(), L.GlobalMaxPooling1D(), self._recurrent(False),
                                L.Dense(self.units(), activation="softmax")]))
        return keras.Sequential(stack)

    def _functional(self) -> keras.Model:
        inputs, pool = [], []
        for _ in range(int(self.rng.integers(1, 4))):
            given, made = self._input(first=not inputs)
            inputs.append(given)
            pool.append(made)
        for _ in range(int(self.rng.integers(2, 8))):
            pool += self._grow(pool)
        outputs = [pool[-1]] + [tensor for tensor in pool[len(inputs):-1] if self.chance(0.2)]
        read = _inputs_read(outputs)
        # An input that no output reads is none of the model.
        return keras.Model([given for given in inputs if given in read] if len(inputs) > 1 else inputs[0], outputs)

    def _input(self, first: bool) -> tuple[Any, Any]:
        kind = self.pick(("ids", "numbers", "numbers") if first else ("ids", "numbers", "vector"))
        if kind == "ids":
            given = L.Input((self.time,), dtype="int32")
            return given, L.Embedding(VOCABULARY, self.units(), mask_zero=self.chance(0.6))(given)
        if kind == "vector":
            given = L.Input((self.units(),))
            return given, given
        given = L.Input((self.time, self.units()))
        return given, L.Masking(self.pick((0.0, 0.5)))(given) if self.chance(0.3) else given

    def _grow(self, pool: list) -> list:
        """New tensors from some that are there."""
        x = self.pick(pool[-3:]) if self.chance(0.7) else self.pick(pool)
        if len(x.shape) == 2:
            return self._from_vector(x, pool)
        if len(x.shape) != 3:
            return [L.Flatten()(x)] if all(x.shape[1:]) else [x]
        moves: list[Callable] = [self._layer_on, self._layer_on, self._layer_on, self._merge, self._merge, self._reduce,
                                 self._reduce, self._operation, self._nested, self._with_states, self._shape,
                                 self._again, self._attention]
        return self.pick(moves)(x, pool)

    # ---- sequences ----------------------------------------------------------------------------------------

    def _layer_on(self, x: Any, pool: list) -> list:
        made = self._sequence_layer()(x)
        return list(made) if isinstance(made, (list, tuple)) else [made]

    def _sequence_layer(self) -> Any:
        """A layer from [batch, time, features] to the same rank."""
        return self.pick([
            lambda: self._recurrent(True), lambda: self._recurrent(True), lambda: self._bidirectional(True),
            lambda: L.Dense(self.units(), activation=self.pick(ACTIVATIONS), use_bias=self.chance(0.8)),
            lambda: L.TimeDistributed(L.Dense(self.units(), activation=self.pick(ACTIVATIONS))),
            lambda: L.TimeDistributed(self.pick([L.Dropout(0.3), L.Activation("tanh"), L.LeakyReLU(0.1)])),
            lambda: L.BatchNormalization(center=self.chance(0.8), scale=self.chance(0.8)),
            lambda: L.LayerNormalization(center=self.chance(0.8), scale=self.chance(0.8)),
            lambda: self.pick([L.Dropout(0.5), L.SpatialDropout1D(0.2), L.GaussianNoise(0.3), L.AlphaDropout(0.2)]),
            lambda: L.Activation(self.pick((*ACTIVATIONS, "softmax"))),
            lambda: self.pick([L.ReLU(), L.LeakyReLU(0.2), L.ELU(), L.PReLU(shared_axes=[1])]),
            self._convolution, lambda: self.pick([L.RMSNormalization(), L.MaxPooling1D(2, 1, "same")]),
        ])()

    def _convolution(self) -> Any:
        """One that keeps the number of steps."""
        how: dict[str, Any] = {"padding": self.pick(("same", "causal")), "dilation_rate": self.pick((1, 1, 2)),
                               "use_bias": self.chance(0.8)}
        kind = self.pick((L.Conv1D, L.Conv1D, L.SeparableConv1D, L.DepthwiseConv1D))
        if kind is L.DepthwiseConv1D:
            return kind(3, depth_multiplier=2, **{**how, "padding": "same"})
        return kind(self.units(), int(self.rng.integers(1, 4)), activation=self.pick(ACTIVATIONS), **how)

    def _attention(self, x: Any, pool: list) -> list:
        """Of x to itself; over masks some are refused."""
        causal = self.chance(0.4)
        return [self.pick([lambda: L.Attention(use_scale=self.chance(0.5))([x, x], use_causal_mask=causal),
                           lambda: L.AdditiveAttention()([x, x]),
                           lambda: L.MultiHeadAttention(2, self.units())(x, x, use_causal_mask=causal),
                           lambda: L.GroupQueryAttention(self.units(), 4, 2)(x, x, use_causal_mask=causal)])()]

    def _settings(self) -> dict[str, Any]:
        return {"use_bias": self.chance(0.85), "activation": self.pick(CELL_ACTIVATIONS)}

    def _recurrent(self, sequences: bool, **more: Any) -> Any:
        """One direction; `sequences`: every step's output."""
        options = {"return_sequences": sequences, "go_backwards": self.chance(0.25),
                   "zero_output_for_mask": self.chance(0.2), **more}
        kind = self.pick(("LSTM", "GRU", "SimpleRNN", "RNN", "RNN"))
        if kind == "RNN":
            cells = [self._cell() for _ in range(int(self.rng.integers(1, 4)))]
            return L.RNN(cells if len(cells) > 1 else cells[0], **options)
        return getattr(L, kind)(self.units(), **self._cell_settings(kind), **options)

    def _cell_settings(self, kind: str) -> dict[str, Any]:
        settings = self._settings()
        if not kind.startswith("SimpleRNN"):
            settings["recurrent_activation"] = self.pick(GATES)
        if kind.startswith("GRU"):
            settings["reset_after"] = self.chance(0.5)
        return settings

    def _cell(self) -> Any:
        kind = self.pick(("LSTMCell", "GRUCell", "SimpleRNNCell"))
        return getattr(L, kind)(self.units(), **self._cell_settings(kind))

    def _bidirectional(self, sequences: bool, **more: Any) -> Any:
        merge = self.pick(MERGES)
        turned = self.chance(0.15)
        units = self.units()
        kinds = ("LSTM", "GRU", "SimpleRNN")

        def one(kind: str, back: bool) -> Any:
            return getattr(L, kind)(units, return_sequences=sequences, go_backwards=back, **more,
                                    **self._cell_settings(kind))

        if self.chance(0.2):
            cells = [self._cell() for _ in range(2)]
            return L.Bidirectional(L.RNN(cells, return_sequences=sequences, **more), merge_mode=merge)
        first = self.pick(kinds)
        if self.chance(0.3):
            second = one(first if self.chance(0.5) else self.pick(kinds), not turned)
            return L.Bidirectional(one(first, turned), backward_layer=second, merge_mode=merge)
        return L.Bidirectional(one(first, turned), merge_mode=merge)

    def _merge(self, x: Any, pool: list) -> list:
        """Several tensors joined; one of other features is brought to x's first."""
        others = [tensor for tensor in pool if len(tensor.shape) == 3 and tensor.shape[1] == x.shape[1]
                  and _came_from(tensor) & _came_from(x)]
        other = self.pick(others or [x])
        layer = self.pick([L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate])
        if layer is not L.Concatenate and other.shape[-1] != x.shape[-1]:
            other = L.Dense(x.shape[-1])(other)
        joined = [x, other] + ([other] if layer not in (L.Subtract,) and self.chance(0.2) else [])
        if layer is L.Concatenate and self.chance(0.3) and x.shape[-1] == other.shape[-1]:
            return [L.Concatenate(axis=1)(joined)]
        return [layer()(joined)]

    def _reduce(self, x: Any, pool: list) -> list:
        """[batch, features] of a sequence."""
        choice = int(self.rng.integers(6))
        if choice == 0:
            return [L.GlobalAveragePooling1D(keepdims=self.chance(0.2))(x)]
        if choice == 1:
            return [L.GlobalMaxPooling1D()(x)]
        if choice == 2:
            made = self._bidirectional(False)(x)
            return list(made) if isinstance(made, (list, tuple)) else [made]
        if choice == 3 and x.shape[1] and x.shape[2]:
            return [L.Flatten()(x)]
        if choice == 4:
            return [x[:, -1] if self.chance(0.5) else x[:, 0]]
        return [self._recurrent(False)(x)]

    def _operation(self, x: Any, pool: list) -> list:
        """Operations between layers; masks end here."""
        def array(*shape: int) -> np.ndarray:
            return self.rng.standard_normal(shape).astype(np.float32)

        width = x.shape[-1]
        made = [lambda: x * 2 + 1, lambda: ops.tanh(x), lambda: ops.mean(x, axis=1, keepdims=True),
                lambda: ops.flip(x, axis=1), lambda: x[:, :, :1], lambda: ops.concatenate([x, ops.sigmoid(x)], axis=-1),
                lambda: ops.softmax(x, axis=-1), lambda: ops.sum(x * x, axis=-1, keepdims=True) / 4.0,
                lambda: ops.std(x, axis=-1, keepdims=True), lambda: ops.logsumexp(x, axis=2, keepdims=True),
                lambda: ops.log1p(ops.abs(x)), lambda: ops.sort(x, axis=-1),
                lambda: ops.einsum("...i,...i->...i", x, x), lambda: x + array(width),
                lambda: ops.matmul(x, array(width, 3)), lambda: ops.where(x > 0, x, array(1, 1, width)),
                lambda: ops.take(x, self.rng.integers(0, width, 3), axis=-1), lambda: ops.maximum(array(1, 1), x)]
        return [self.pick(made)()]

    def _with_states(self, x: Any, pool: list) -> list:
        """States of one layer begin another."""
        kind, units = self.pick(("LSTM", "GRU", "SimpleRNN")), self.units()
        make = getattr(L, kind)
        if self.chance(0.3):
            outer = L.Bidirectional(make(units, return_state=True, **self._cell_settings(kind)))
            _, *states = outer(x)
            follow = L.Bidirectional(make(units, return_sequences=True, **self._cell_settings(kind)))
        else:
            _, *states = make(units, return_state=True, go_backwards=self.chance(0.2), **self._cell_settings(kind))(x)
            follow = make(units, return_sequences=self.chance(0.7), return_state=self.chance(0.3),
                          **self._cell_settings(kind))
        readers = [tensor for tensor in pool if len(tensor.shape) == 3]
        made = follow(self.pick(readers), initial_state=states)
        return list(made) if isinstance(made, (list, tuple)) else [made]

    def _shape(self, x: Any, pool: list) -> list:
        if not x.shape[1]:
            return [L.Permute((1, 2))(x)]
        steps, features = x.shape[1:]
        return [self.pick([lambda: L.Permute((2, 1))(x), lambda: L.Reshape((features, steps))(x),
                           lambda: L.Reshape((-1, features))(x)])()]

    def _nested(self, x: Any, pool: list) -> list:
        """A model inside the model, called once or twice."""
        if self.depth > 1:
            return [x]
        self.depth += 1
        features, shape = x.shape[-1], x.shape[1:]
        if self.chance(0.5):
            stack = [self._plain_layer() for _ in range(int(self.rng.integers(1, 4)))]
            inner = keras.Sequential([L.Input(shape), *stack])
        else:
            given = L.Input(shape)
            inside = [given]
            for _ in range(int(self.rng.integers(1, 4))):
                inside += self._grow(inside)
            inner = keras.Model(given, inside[-1] if len(inside) < 3 or self.chance(0.6) else inside[-2:])
        self.depth -= 1
        made = inner(x)
        made = list(made) if isinstance(made, (list, tuple)) else [made]
        if self.chance(0.3):
            other = self.pick([tensor for tensor in pool if len(tensor.shape) == 3 and tensor.shape[1] == x.shape[1]])
            again = inner(L.Dense(features)(other))
            made += list(again) if isinstance(again, (list, tuple)) else [again]
        return made

    def _plain_layer(self) -> Any:
        layer = self._sequence_layer()
        while isinstance(layer, L.Bidirectional) and layer.merge_mode is None:
            layer = self._sequence_layer()
        return layer

    def _again(self, x: Any, pool: list) -> list:
        """A layer used before, or one to be used again."""
        key = ("sequence", x.shape[-1])
        if key not in self.shared:
            self.shared[key] = self.pick([L.LSTM(3, return_sequences=True), L.Dense(3), L.Bidirectional(
                L.GRU(2, return_sequences=True)), L.BatchNormalization()])
        return [self.shared[key](x)]

    # ---- vectors ------------------------------------------------------------------------------------------

    def _from_vector(self, x: Any, pool: list) -> list:
        choice = int(self.rng.integers(6))
        if choice == 0:
            return [L.RepeatVector(int(self.rng.integers(1, 5)))(x)]
        if choice == 1:
            others = [tensor for tensor in pool if len(tensor.shape) == 2]
            return [L.Concatenate()([x, self.pick(others)])]
        if choice == 2:
            others = [tensor for tensor in pool if len(tensor.shape) == 2 and tensor.shape[-1] == x.shape[-1]]
            return [self.pick([L.Add, L.Multiply, L.Average])()([x, self.pick(others)])]
        return [self.pick([lambda: L.Dense(self.units(), activation=self.pick(ACTIVATIONS)), L.BatchNormalization,
                           L.LayerNormalization, lambda: L.Activation("softmax"), lambda: L.Dropout(0.2)])()(x)]

    # ---- frozen parts -------------------------------------------------------------------------------------

    def _freeze(self, model: keras.Model) -> None:
        """Freeze some of what there is: a layer, a wrapper, one direction, a cell, an inner model."""
        if self.chance(0.4):
            return
        parts = list(all_layers(model))[1:]
        for part in parts:
            if self.chance(0.35):
                part.trainable = False
        for part in parts:                           # and within frozen ones something that is not
            if self.chance(0.1):
                part.trainable = True


def all_layers(layer: Any) -> Any:
    """A layer or model and all inside it."""
    yield layer
    inside = [getattr(layer, role, None) for role in ("forward_layer", "backward_layer", "layer", "cell")]
    for role in ("layers", "cells"):
        inside += getattr(layer, role, None) or []
    for inner in inside:
        if isinstance(inner, L.Layer):
            yield from all_layers(inner)


def _came_from(tensor: Any) -> set[int]:
    """The model's inputs that a tensor depends on."""
    seen, found, stack = set(), set(), [tensor]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        operation, node, _ = current._keras_history
        parents = operation._inbound_nodes[node].input_tensors
        if not parents:
            found.add(id(current))
        stack += parents
    return found


def _inputs_read(outputs: list) -> list:

    class Found(list):
        def __contains__(self, tensor: Any) -> bool:
            return any(tensor is each for each in self)

    wanted = set().union(*map(_came_from, outputs))
    found, stack, seen = Found(), list(outputs), set()
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if id(current) in wanted:
            found.append(current)
        operation, node, _ = current._keras_history
        stack += operation._inbound_nodes[node].input_tensors
    return found


def random_weights(model: keras.Model, rng: np.random.Generator) -> list[np.ndarray]:
    """Numbers for every weight in float32, biases included; variances positive. Small enough for exponentials."""
    return [(np.abs(numbers) + 0.2 if "variance" in variable.path else numbers).astype(np.float32)
            for variable in model.weights for numbers in [0.5 * rng.standard_normal(tuple(variable.shape))]]
