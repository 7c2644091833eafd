"""Train a bidirectional LSTM in PyTorch to find the dates in a line of text, and export it to ONNX.

Embedding -> bidirectional LSTM -> Linear, one label per character; batch and time stay dynamic in the export. It is
trained on sentences that `phrases.py` makes up, so nothing is read and nobody's data is in the weights. Sentences are
batched with others of their own length: no padding reaches the backward direction, and the network needs no lengths.

    python examples/dates_onnx/train.py

writes `dates.onnx` (input `characters` int64 [batch, time], output `logits` float32 [batch, time, 4]) and `dates.npz`:

    alphabet    str     []                 character i of it has the id i + 1; every other character has the id 0
    labels      str     []                 one character a label, in the order of the logits
    sentences   str     [sentences]        our own sentences (sentences.txt), none of which was made up by phrases.py
    lengths     int64   [sentences]        characters in each
    ids         int64   [all characters]   their ids, one sentence after the other
    logits      float32 [all characters, labels]   PyTorch's outputs for them, sentence by sentence
    accuracy    float64 []                 share of held-out made-up sentences whose every character is labelled right
"""

from __future__ import annotations

import argparse
import string
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

try:
    import numpy as np
    import torch
    from exporting import check_with_onnxruntime, export
    from phrases import LABELS, sentences
    from torch import nn
except ImportError as error:
    raise SystemExit(f"{error}. This example needs PyTorch and ONNX: pip install '.[examples]'") from error

HELD_OUT = 10**9            # the seed of sentences that are never trained on
ALPHABET = string.ascii_letters + string.digits + string.punctuation + " "
IDS = {character: number for number, character in enumerate(ALPHABET, 1)}


class DateFinder(nn.Module):
    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(ALPHABET) + 1, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, len(LABELS))

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        """characters [batch, time] -> logits [batch, time, labels]."""
        outputs, _ = self.lstm(self.embedding(characters))
        return self.head(outputs)


def batches(pairs: list[tuple[str, str]], size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, labels) of [<= size, time], every batch of one length."""
    by_length: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for text, labels in pairs:
        by_length[len(text)].append((text, labels))
    return [(torch.tensor([[IDS.get(character, 0) for character in text] for text, _ in rows]),
             torch.tensor([[LABELS.index(label) for label in labels] for _, labels in rows]))
            for group in by_length.values() for start in range(0, len(group), size)
            for rows in [group[start:start + size]]]


@torch.no_grad()
def accuracy(model: DateFinder, data: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The share of sentences whose every character is labelled right."""
    right = sum(int((model(ids).argmax(-1) == labels).all(-1).sum()) for ids, labels in data)
    return right / sum(len(labels) for _, labels in data)


def train(model: DateFinder, args: argparse.Namespace, held_out: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """New sentences in every epoch, so that none is learned by heart. Returns the accuracy after the last."""
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    loss_of = nn.CrossEntropyLoss()
    score = 0.0
    for epoch in range(args.epochs):
        data = batches(sentences(args.sentences, seed=1000 * args.seed + epoch), args.batch)
        total = 0.0
        for i in torch.randperm(len(data)).tolist():
            ids, labels = data[i]
            loss = loss_of(model(ids).flatten(0, 1), labels.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        schedule.step()
        score = accuracy(model, held_out)
        print(f"epoch {epoch + 1:2d}/{args.epochs}  mean loss {total / len(data):.4f}  "
              f"held-out sentences without a fault {score:.2%}", flush=True)
    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=CHECKOUT / "lstm_engine/demo_data",
                        help="folder to write to (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sentences", type=int, default=16000, help="made up for each epoch (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--embedding", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    model = DateFinder(args.embedding, args.hidden)
    score = train(model, args, batches(sentences(2000, seed=HELD_OUT), args.batch))
    model.eval()

    lines = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    ids = [np.array([IDS.get(character, 0) for character in line]) for line in lines]
    with torch.no_grad():
        logits = [model(torch.from_numpy(row)[None])[0].numpy() for row in ids]
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, arrays_file = args.out / "dates.onnx", args.out / "dates.npz"
    export(model, checkpoint, "characters", "logits")
    check_with_onnxruntime(model, checkpoint, ids)
    np.savez_compressed(arrays_file, alphabet=np.array(ALPHABET), labels=np.array(LABELS), sentences=np.array(lines),
                        lengths=np.array([len(row) for row in ids]), ids=np.concatenate(ids),
                        logits=np.concatenate(logits), accuracy=np.float64(score))
    print(f"{arrays_file}: {arrays_file.stat().st_size:,} bytes")
    for line, row in zip(lines, logits):
        print(line, "".join(LABELS[i] for i in row.argmax(-1)), sep="\n")


if __name__ == "__main__":
    main()
