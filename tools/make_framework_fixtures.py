"""How frameworks on top of torch lay out their modules and checkpoints, by their own code.

    python tools/make_framework_fixtures.py [flair] [sb3] [skorch] [darts]

Each is tried where it is installed: a small recurrent model is built by the framework, converted live and compared, and
saved by the framework's own means; what comes of each file is printed. tests/unit/test_torch_frameworks.py has the
layouts that were learnt so, made anew of plain torch, which is what the tests run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Made = tuple[Any, tuple[Any, ...], list[Path]]          # a module, an example of its inputs, files saved


def flair(folder: Path) -> Made:
    import torch
    from flair.data import Dictionary
    from flair.models import LanguageModel

    letters = Dictionary()
    for letter in "abcde":
        letters.add_item(letter)
    model = LanguageModel(letters, True, hidden_size=8, nlayers=1, embedding_size=4)
    model.save(folder / "model.pt")
    state = torch.zeros(1, 2, 8), torch.zeros(1, 2, 8)
    return model, (torch.ones(6, 2, dtype=torch.int64), state), [folder / "model.pt"]


def sb3(folder: Path) -> Made:
    import zipfile

    import torch
    from sb3_contrib import RecurrentPPO

    trained = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu",
                           policy_kwargs={"lstm_hidden_size": 8, "net_arch": [6]})
    trained.save(folder / "policy.zip")
    with zipfile.ZipFile(folder / "policy.zip") as archive:
        archive.extract("policy.pth", folder)

    class Acts(torch.nn.Module):
        def __init__(self, policy: Any) -> None:
            super().__init__()
            self.policy = policy

        def forward(self, observed: Any, h: Any, c: Any) -> Any:
            y, state = self.policy.lstm_actor(observed.unsqueeze(0), (h, c))
            return self.policy.action_net(self.policy.mlp_extractor.forward_actor(y.squeeze(0))), state
    example = torch.zeros(3, 4), torch.zeros(1, 3, 8), torch.zeros(1, 3, 8)
    return Acts(trained.policy), example, [folder / "policy.zip", folder / "policy.pth"]


def skorch(folder: Path) -> Made:
    import numpy as np
    import torch
    from skorch import NeuralNetRegressor

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.fc = torch.nn.LSTM(5, 8, batch_first=True), torch.nn.Linear(8, 1)

        def forward(self, x: Any) -> Any:
            return self.fc(self.lstm(x)[0][:, -1])
    net = NeuralNetRegressor(Net, max_epochs=1, train_split=None, verbose=0)
    net.fit(np.zeros((8, 6, 5), np.float32), np.zeros((8, 1), np.float32))
    net.save_params(f_params=folder / "params.pt", f_optimizer=folder / "optimizer.pt")
    return net.module_, (torch.zeros(2, 6, 5),), [folder / "params.pt", folder / "optimizer.pt"]


def darts(folder: Path) -> Made:
    import numpy as np
    import torch
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    model = BlockRNNModel(input_chunk_length=6, output_chunk_length=2, model="GRU", hidden_dim=8, n_epochs=1,
                          pl_trainer_kwargs={"accelerator": "cpu", "enable_progress_bar": False})
    model.fit(TimeSeries.from_values(np.sin(np.arange(40)).astype(np.float32)), verbose=False)
    model.save(str(folder / "model.pt"))
    example = (torch.zeros(2, 6, 1), None, None)
    return model.model.cpu(), (example,), [folder / "model.pt", folder / "model.pt.ckpt"]


FRAMEWORKS: dict[str, Callable[[Path], Made]] = {"flair": flair, "sb3": sb3, "skorch": skorch, "darts": darts}


def tried(name: str, folder: Path) -> Iterator[str]:
    import lstm_engine as le

    try:
        module, example, files = FRAMEWORKS[name](folder)
    except ImportError as error:
        yield f"is not installed: {error}"
        return
    try:
        model = le.convert(module, example_inputs=example)
        yield f"live: right, {', '.join(f'{value.name} {list(value.shape)}' for value in model.inputs.values())}"
    except le.LstmEngineError as error:
        yield f"live: {error}"
    for file in files:
        try:
            model = le.convert(file)
            yield f"{file.name}: {[node.op for node in model.graph.nodes]}, with {len(model.assumptions)} assumptions"
        except le.LstmEngineError as error:
            yield f"{file.name}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=f"of {', '.join(FRAMEWORKS)} (default: all)")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    for name in options.frameworks or FRAMEWORKS:
        with tempfile.TemporaryDirectory() as folder:
            for line in tried(name, Path(folder)):
                print(f"{name} {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
