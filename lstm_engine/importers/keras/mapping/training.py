"""Calls with training=True: what a layer then does that no inference gives is refused by name."""

from __future__ import annotations

from ....errors import UnsupportedError
from ..reading.config import Layer, Tree, Version
from ..reading.parts import parts

_RATES = ("rate", "stddev", "sigma", "dropout", "recurrent_dropout", "dropout_W", "dropout_U")
_RANDOM = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout",
           "GaussianNoise")
# Images are turned, moved, made brighter, ... in training alone; their settings say how.
AUGMENTATIONS = ("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast",
                 "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomElasticTransform",
                 "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
                 "RandomPerspective", "RandomPosterization", "RandomSaturation", "RandomSharpness", "RandomShear",
                 "RandAugment", "AugMix", "CutMix", "MixUp")


def refuse_training(tree: Tree, version: Version, layer: Layer) -> None:
    """Raise UnsupportedError, naming the layer, if it or one inside it computes something else in training."""
    for inner in _all(tree, layer):
        does = _does(version, inner)
        if does:
            inside = f", and {inner} inside it" if inner is not layer else ""
            raise UnsupportedError(
                f"{layer} is called with training=True{inside}, which {does} on every call; supported: layers called "
                "for inference (build the model again without training=True, and load its weights)")


def _does(version: Version, layer: Layer) -> str | None:
    if layer.kind == "BatchNormalization":
        # From TensorFlow 2 a frozen one keeps to its moving statistics all the same.
        frozen = layer.config.get("trainable") is False and version.numbers >= (2, 4)
        return None if frozen else "uses the statistics of the batch"
    if layer.kind in AUGMENTATIONS:
        # Keras 3 writes their default, which is true, and predict() overrides it.
        return None if version.three else "changes images at random"
    if layer.kind == "SpectralNormalization":
        return "divides its kernel by its norm"
    rates = [key for key in _RATES if layer.config.get(key)]
    if rates and (layer.kind in _RANDOM or rates != ["rate"]):
        return f"has {rates[0]} {layer.config[rates[0]]!r:.80} and is random"
    return None


def _all(tree: Tree, layer: Layer) -> list[Layer]:
    inside = [*layer.layers, *(inner for inner, _, _ in parts(tree, layer))]
    return [layer, *(deeper for inner in inside for deeper in _all(tree, inner))]
