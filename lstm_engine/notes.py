"""What the user of a model must know of it, beyond its shapes: kept in its metadata, said once at conversion."""

from __future__ import annotations

from collections.abc import Mapping


def notes(metadata: Mapping[str, str]) -> list[str]:
    """The sentences that a model's metadata stand for.

    "stateful": names of layers, with commas, whose state Keras carries from call to call.
    "by_backend": names of layers, with commas, that compute something else where Keras runs on PyTorch, of a file that
    names no backend.
    "computed_wider": dtype policies of Keras, with commas, of fewer bits than the model computes in here.
    "of_one_rank": branches of a result whose rank depends on the run, and the rank that this model has.
    "fixed": sizes of inputs that the file of a torch program fixes.
    "turned": loops of an ONNX file that are run turn by turn, and why each is no recurrent layer.
    "rounded_by_batch": names of nodes, with commas, that make whole numbers by the largest of all rows.
    "quantised_by_torch": names of layers, with commas, whose weights torch had quantised to 8 bits.
    "assumed_version": the version of Keras that JSON without any is taken to be of.
    """
    made = []
    if version := metadata.get("assumed_version"):
        made.append(f"the JSON names no version of Keras; it is read as Keras {version} means it (3.4 changed masks "
                    "through merging layers); a .keras file says its own")
    if stateful := metadata.get("stateful"):
        made.append(f"stateful layers ({stateful.replace(',', ', ')}): in Keras a second predict goes on from the "
                    "states of the first; predict here begins anew each time. Model.stream(...) goes on, as does "
                    "predict with initial_state= and return_state=")
    if layers := metadata.get("by_backend"):
        made.append(f"what {layers.replace(',', ', ')} gives at the edges depends on the backend of Keras, which the "
                    "file does not name; it is read as TensorFlow and JAX have it. If the model was trained on "
                    "PyTorch, convert it live there: le.convert(keras.models.load_model(path)) with "
                    "KERAS_BACKEND=torch; an .h5 file names its backend")
    if policies := metadata.get("computed_wider"):
        made.append(f"layers that Keras computes in fewer bits ({policies.replace(',', ', ')}) are computed in "
                    "float32: results are nearer to those of the same model in float32, and apart from Keras' by its "
                    "rounding")
    if ranks := metadata.get("of_one_rank"):
        made.append(f"results whose number of axes depends on the inputs have one here ({ranks}); inputs that give "
                    "another are refused. spec={'shapes': {input: [sizes]}} settles which")
    if turned := metadata.get("turned"):
        made.append(f"loops that are run turn by turn, as no recurrent layer was found in them ({turned}): right, and "
                    "slower than a layer")
    if fixed := metadata.get("fixed"):
        made.append(f"torch.export has fixed {fixed}: this model takes no other sizes there. What dynamic_shapes did "
                    "not leave open is fixed, and torch fixes the steps of an nn.LSTM, GRU or RNN in any case; "
                    "le.convert(module, example_inputs=...) of the live module, then save, keeps them open")
    if nodes := metadata.get("rounded_by_batch"):
        made.append(f"as the file says, {nodes} round to 8 bits by the least and largest number of all rows and steps "
                    "of a call: a row's results depend on the rows beside it")
    if layers := metadata.get("quantised_by_torch"):
        made.append(f"weights that torch had quantised to 8 bits ({layers}) are read as the numbers that they stand "
                    "for, in int8 where a layer allows it (inspect says which). torch rounds what these are multiplied "
                    "with as well, by the least and largest number of a whole batch; this model does not: its results "
                    "are nearer to those of the model before it was quantised, and a row's do not depend on the rows "
                    "beside it (docs/torch.md)")
    return made
