"""Checkpoints that others trained: NOAA's streamflow LSTMs, and the g2p grapheme-to-phoneme GRUs."""

from __future__ import annotations

import numpy as np
import pytest
from real_models import NOAA, speech

import lstm_engine as le
from lstm_engine.errors import UnsupportedError
from lstm_engine.importers import arrays
from lstm_engine.importers import torch as importer
from lstm_engine.importers.base import ImportOptions
from lstm_engine.operators import validate
from lstm_engine.reference import run


@pytest.fixture(scope="module")
def golden(real):
    with np.load(real / "noaa_lstm" / "golden.npz") as file:
        return dict(file)


def outputs(real, golden, stem):
    graph = validate(importer.read(real / "noaa_lstm" / "old" / f"{stem}.pt"))
    assert [node.op for node in graph.nodes] == ["LSTM", "Dense"]
    return run(graph, {"input": golden[f"{stem}/x"]})["output"]


@pytest.mark.parametrize("stem", NOAA)
def test_noaa_against_torch_in_float64(real, golden, stem):
    """1e-12: the same float64 sums in another order, 168 steps, outputs below 10."""
    torch = pytest.importorskip("torch")
    state = torch.load(real / "noaa_lstm" / "old" / f"{stem}.pt", map_location="cpu", weights_only=True)
    rows, features = state["lstm.weight_ih_l0"].shape
    lstm = torch.nn.LSTM(features, rows // 4, batch_first=True)
    lstm.load_state_dict({name.removeprefix("lstm."): w for name, w in state.items() if name.startswith("lstm.")})
    with torch.no_grad():
        y = lstm.double()(torch.tensor(golden[f"{stem}/x"]).double())[0]
        expected = y @ state["head.net.0.weight"].double().T + state["head.net.0.bias"].double()
    assert np.abs(outputs(real, golden, stem) - expected.numpy()).max() <= 1e-12


@pytest.mark.filterwarnings("ignore")
def test_noaa_torchscript(real, golden):
    """Stepped by its own code, as it is used. 1e-6: its outputs are float32 and about 1.

    Read as that code, for shapes that a spec gives, which a draft names. Without one it is refused.
    """
    torch = pytest.importorskip("torch")
    path = real / "noaa_lstm" / "ngen" / "sugar_creek_trained.pt"
    x = golden["hourly_all_forcings_lat_lon_elev__model_epoch003/x"][:1, :50]
    module, h, c = torch.jit.load(str(path)), torch.zeros(1, 1, 64), torch.zeros(1, 1, 64)
    expected = []
    for step in torch.tensor(x[0]):
        y, h, c = module(step[None], h, c)
        expected.append(y.item())
    with pytest.raises(UnsupportedError, match="does not say the shapes of its inputs.*'input_layer': .*'c_t': "):
        importer.read(path)
    model = le.convert(path, spec={"shapes": {"input_layer": [1, 1, 11], "h_t": [1, 1, 64], "c_t": [1, 1, 64]}})
    h = c = np.zeros((1, 1, 64), np.float32)
    for step, wanted in zip(x[0], expected, strict=True):
        y, h, c = model.predict({"input_layer": step[None, None], "h_t": h, "c_t": c}).values()
        assert abs(y.item() - wanted) <= 1e-6
    spec = importer.propose_spec(path)
    assert list(spec["shapes"]) == ["input_layer", "h_t", "c_t"] and spec["shapes"]["h_t"] == [1, "batch", 64]
    assert any("input_layer" in note and "guesses" in note for note in spec["notes"])


@pytest.mark.parametrize("golden", ["openvino_16k", "op18_ifless"])
def test_silero_torchscript(real, golden):
    """The network inside the archive, from its code: chunk after chunk as its authors' ONNX files give it. 2e-6: what
    these are held to (real/README.md)."""
    model = le.convert(real / "silero_vad" / "v6_head" / "silero_vad.jit", spec={
        "method": "_model.forward", "shapes": {"x": ["batch", 576], "state": [2, "batch", 128]}})
    with np.load(real / "silero_vad" / f"golden_silero_vad_{golden}.npz") as file:
        wanted = file["speech_prob"].ravel()
    audio, state = speech(real), np.zeros((2, 1, 128), np.float32)
    for number, probability in enumerate(wanted[:60]):
        made, state = model.predict({"x": audio[None, 512 * number:512 * number + 576], "state": state}).values()
        assert abs(made.item() - probability) <= 2e-6, number


def test_silero_safetensors_has_layers_that_are_not_recurrent(real):
    path = real / "silero_vad" / "v6_head" / "silero_vad_16k.safetensors"
    with pytest.raises(UnsupportedError, match=r"11 tensor\(s\) belong to no recurrent, embedding or linear layer: "):
        importer.read(path)
    spec = importer.propose_spec(path)
    assert [(node["op"], node["name"]) for node in spec["nodes"]] == [("LSTM", "lstm_cell")]
    node = {"op": "LSTM", "name": "vad", "torch": "lstm_cell"}
    graph = importer.read(path, ImportOptions(spec=spec | {"nodes": [node], "outputs": ["vad"], "ignore": ["*conv*"]}))
    assert validate(graph).nodes[0].W.shape == (1, 512, 128)


PHONEMES = ("<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH "
            "EH0 "
            "EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R "
            "S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH").split()
GRAPHEMES = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]


def gru(part):
    return {"op": "GRU", "name": part, "torch": {"weight_ih": f"{part}_w_ih", "weight_hh": f"{part}_w_hh",
                                                 "bias_ih": f"{part}_b_ih", "bias_hh": f"{part}_b_hh"}}


IDS = {"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}
ENCODER = {"inputs": [IDS], "nodes": [{"op": "Embedding", "name": "emb", "table": "enc_emb"}, gru("enc"),
                                      {"op": "Pool", "name": "last", "kind": "last"}], "ignore": ["dec_*", "fc_*"]}
DECODER = {"inputs": [IDS, {"name": "h", "shape": ["batch", 256], "dtype": "float32"}],
           "nodes": [{"op": "Embedding", "name": "emb", "table": "dec_emb", "inputs": ["ids"]},
                     gru("dec") | {"inputs": ["emb", "", "h"], "outputs": ["y", "next"]},
                     {"op": "Dense", "name": "fc", "torch": {"weight": "fc_w", "bias": "fc_b"}}],
           "outputs": ["fc", "next"], "ignore": ["enc_*"]}


@pytest.mark.parametrize("word, phonemes", [("inference", "IH1 N F ER0 AH0 N S")])
def test_g2p_spells_from_npz_by_spec(real, word, phonemes):
    path = real / "g2p_en" / "checkpoint20.npz"
    encoder, decoder = (validate(arrays.read(path, ImportOptions(spec=spec))) for spec in (ENCODER, DECODER))
    ids = [[GRAPHEMES.index(letter) for letter in word] + [GRAPHEMES.index("</s>")]]
    h = run(encoder, {"ids": np.array(ids, np.int32)})["last"]
    token, spelled = PHONEMES.index("<s>"), []
    for _ in range(20):
        step = run(decoder, {"ids": np.array([[token]], np.int32), "h": h})
        h, token = step["next"], int(step["fc"].argmax())
        if PHONEMES[token] == "</s>":
            break
        spelled.append(PHONEMES[token])
    assert " ".join(spelled) == phonemes
