"""A Keras model of TensorFlow's functions between layers, for make_keras_fixtures.py --functions."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras
L = keras.layers


def functions() -> keras.Model:
    """TensorFlow's functions on what an LSTM gives, on its input, on another input and on ids."""
    x, other, ids = L.Input((6, 4), name="x"), L.Input((6, 3), name="other"), L.Input((6,), dtype="int32", name="ids")
    h = L.LSTM(3, return_sequences=True)(x)
    near = h - other
    return keras.Model([x, other, ids], [
        h[:, -1, :], h[:, -1], h[:, 1:, :2], h[:, ::-1], h[:, tf.newaxis, -1], h[:, 1:-1:2], near, 1.0 - h, h * other,
        h / 3.0, -h, h ** 2, h + 1.5, tf.maximum(h, 0.0), tf.minimum(h, other), tf.abs(h), tf.exp(h), tf.square(h),
        tf.sqrt(tf.abs(h)), tf.math.log(tf.abs(h) + 1.0), tf.math.rsqrt(tf.abs(h) + 1.0), tf.sign(h), tf.sigmoid(h),
        tf.tanh(h), tf.nn.relu(h), tf.nn.softmax(h), tf.nn.softmax(h, axis=1), tf.nn.elu(h), tf.nn.gelu(h),
        tf.nn.leaky_relu(h, 0.1), tf.math.softplus(h), tf.math.squared_difference(h, other),
        tf.math.l2_normalize(h, axis=-1), tf.clip_by_value(h, -0.1, 0.1), tf.where(h > 0, h, 0.5 * h),
        tf.cast(tf.not_equal(ids, 0), tf.float32), tf.cast(ids, tf.float32), tf.one_hot(ids, 5),
        tf.one_hot(ids, 5, on_value=1, off_value=0), tf.one_hot(ids, 5, on_value=True, off_value=False),
        tf.reduce_mean(h, axis=1), tf.reduce_sum(h, axis=[1, 2], keepdims=True), tf.reduce_max(h, 1),
        tf.reduce_min(h, axis=-1), keras.backend.mean(h, axis=1), tf.argmax(h, axis=-1), tf.cumsum(h, axis=1),
        tf.concat([h, x], axis=-1), tf.stack([h, other], axis=1), tf.expand_dims(h, 1),
        tf.squeeze(tf.expand_dims(h, -1), -1), tf.transpose(h, [0, 2, 1]), tf.reshape(h, [-1, 18]),
        tf.matmul(h, other, transpose_b=True), tf.matmul(tf.transpose(h, [0, 2, 1]), other),
        tf.split(h, 3, axis=1)[1], tf.split(h, [1, 2], axis=-1)[1], tf.unstack(h, axis=1)[2], tf.tile(h, [1, 2, 1]),
        tf.repeat(h, 2, axis=1), tf.reverse(h, [1]), tf.gather(h, [0, 2], axis=1),
        tf.pad(h, [[0, 0], [1, 0], [0, 2]]), tf.ones_like(h) + h,
        # Arrays that are written out, division, sizes known only when the model runs, and the rest.
        h + tf.constant([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]), tf.matmul(h, tf.constant([[1.0], [2.0], [-1.0]])),
        tf.nn.bias_add(h, [1.0, 2.0, 3.0]), tf.gather(tf.constant([[0.5, 1.0], [2.0, 3.0]] * 6), ids),
        tf.where(h > 0, [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]) + tf.where(h > 0.5, [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
        tf.where(h > 0, h, [1.0, 2.0, 3.0]), tf.where(h > 0, [1, 0, 1], [0, 1, 1]),
        tf.gather([True, False, True] * 4, ids),
        ids % 3, ids // 2, 7 % (ids + 1), h % 0.3, tf.math.floormod(h, -0.25), tf.math.divide_no_nan(h, other),
        h / tf.cast(tf.shape(h)[1], tf.float32), tf.reshape(h, (tf.shape(h)[0], -1, 2)),
        tf.zeros((tf.shape(h)[0], 3)) + h[:, 0], tf.fill([tf.shape(h)[0], 6, 3], 1.5) - h, tf.shape(h)[1:] + 1,
        tf.ones([tf.shape(h)[0], 3], tf.int32), tf.round(4 * h), tf.math.erf(h), tf.math.log1p(tf.abs(h)),
        tf.math.expm1(h), tf.atan(h), tf.tan(h), tf.math.asinh(h), tf.cosh(h), tf.math.log_sigmoid(h),
        tf.math.is_nan(h), tf.math.is_finite(h), tf.math.logical_xor(h > 0, other > 0), tf.math.reduce_std(h, 1),
        tf.math.reduce_variance(h, -1, keepdims=True), tf.reduce_logsumexp(h, 1), tf.norm(h, axis=-1),
        tf.norm(h, ord=1, axis=1), tf.roll(h, 2, 1), tf.sort(h, axis=1), tf.argsort(h, axis=1),
        *tf.math.top_k(h, 2), tf.math.cumprod(h, 1), tf.cumsum(h, 1, exclusive=True, reverse=True),
        tf.stop_gradient(h) + tf.identity(h), tf.ensure_shape(h, (None, 6, 3))])
