"""Train a sentiment classifier in PyTorch on film reviews, then predict with PyTorch and with lstm_engine.

Embedding 20000x100 -> LSTM 100 -> LSTM 100 -> Linear 1 -> sigmoid, read off the last step. Sentences are
padded on the left, so the last step is always a real word: to 64 words for training, to 500 for predicting.

    python examples/sentiment_torch/train.py --data rt_polarity

The data's licence is not stated, so neither data nor weights are part of this project: the checkpoint and
the spec that goes with it are written to a temporary folder, or to --out.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

try:
    import numpy as np
    import torch
    from torch import nn

    import lstm_engine as le
except ImportError as error:
    raise SystemExit(f"{error}. Needs PyTorch and lstm_engine: pip install '.[examples]'") from error

CHECKOUT = Path(__file__).resolve().parents[2]
VOCAB, EMBEDDING, HIDDEN = 20_000, 100, 100
PAD, UNKNOWN = 0, 1
TRAIN_STEPS, PREDICT_STEPS, PREDICT_BATCH = 64, 500, 128


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, num_layers=2, batch_first=True, dropout=0.3)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(HIDDEN, 1)

    def logits(self, words: torch.Tensor) -> torch.Tensor:
        """words [batch, time] -> [batch, 1]."""
        outputs, _ = self.lstm(self.dropout(self.embedding(words)))
        return self.head(self.dropout(outputs[:, -1]))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """words [batch, time] -> probability of a positive sentence [batch, 1]."""
        return torch.sigmoid(self.logits(words))


# What the state dict cannot say: that the head reads the last step, and that a sigmoid follows it.
SPEC = {
    "inputs": [{"name": "words", "shape": ["batch", "time"], "dtype": "int32"}],
    "nodes": [
        {"op": "Embedding", "name": "embedding", "torch": "embedding"},
        {"op": "LSTM", "name": "lstm_l0", "torch": "lstm", "layer": 0},
        {"op": "LSTM", "name": "lstm_l1", "torch": "lstm", "layer": 1},
        {"op": "Pool", "name": "last", "kind": "last"},
        {"op": "Dense", "name": "positive", "torch": "head", "activation": "sigmoid"},
    ],
}


def predict_with_lstm_engine(checkpoint: Path, spec: Path, words: np.ndarray) -> np.ndarray:
    """words int32 [rows, time] -> probabilities [rows, 1], from the files alone."""
    model = le.convert(checkpoint, spec=spec)
    return model.predict(words, batch_size=PREDICT_BATCH, threads=torch.get_num_threads())


@torch.no_grad()
def predict_with_torch(model: Classifier, words: np.ndarray) -> np.ndarray:
    model.eval()
    return torch.cat([model(batch) for batch in torch.from_numpy(words).split(PREDICT_BATCH)]).numpy()


def tokens(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+|[!?;]", sentence.lower())


def read(data: Path) -> tuple[list[list[str]], np.ndarray]:
    """Tokenised sentences and labels [sentences], 1 for positive."""
    sentences: list[list[str]] = []
    labels: list[float] = []
    for label, name in ((0.0, "rt-polarity.neg"), (1.0, "rt-polarity.pos")):
        lines = (data / name).read_text(encoding="latin-1").strip("\n").split("\n")
        sentences += [tokens(line) for line in lines]
        labels += [label] * len(lines)
    return sentences, np.array(labels, dtype=np.float32)


def padded(sentences: list[list[str]], word_ids: dict[str, int], steps: int) -> np.ndarray:
    """int32 [sentences, steps], padded on the left; of a longer sentence the last words are kept."""
    ids = np.full((len(sentences), steps), PAD, dtype=np.int32)
    for row, sentence in zip(ids, sentences, strict=True):
        kept = [word_ids.get(word, UNKNOWN) for word in sentence[-steps:]]
        row[steps - len(kept):] = kept
    return ids


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(((probabilities[:, 0] > 0.5) == (labels > 0.5)).mean())


def train(model: Classifier, words: np.ndarray, labels: np.ndarray, check_words: np.ndarray,
          check_labels: np.ndarray, args: argparse.Namespace) -> None:
    """Keep the epoch that does best on the validation sentences."""
    x, y = torch.from_numpy(words), torch.from_numpy(labels)[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
    loss_of = nn.BCEWithLogitsLoss()
    best, best_weights = 0.0, model.state_dict()
    started = time.perf_counter()
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(args.batch):
            loss = loss_of(model.logits(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(rows)
        score = accuracy(predict_with_torch(model, check_words), check_labels)
        if score > best:
            best, best_weights = score, copy.deepcopy(model.state_dict())
        print(f"epoch {epoch + 1:2d}/{args.epochs}  loss {total / len(x):.4f}  "
              f"validation accuracy {score:.2%}  {time.perf_counter() - started:4.0f} s", flush=True)
    model.load_state_dict(best_weights)


def compare(model: Classifier, words: np.ndarray, labels: np.ndarray, out: Path) -> None:
    """Save the checkpoint and its spec, predict the held-out sentences both ways, print both accuracies."""
    checkpoint, spec = out / "sentiment.pt", out / "sentiment.json"
    torch.save(model.state_dict(), checkpoint)
    spec.write_text(json.dumps(SPEC, indent=2) + "\n", encoding="utf-8")
    print(f"predicting {len(words):,} held-out sentences padded to {PREDICT_STEPS}, "
          f"in batches of {PREDICT_BATCH}")
    answers = {}
    for name, run in (("PyTorch", lambda: predict_with_torch(model, words)),
                      ("lstm_engine", lambda: predict_with_lstm_engine(checkpoint, spec, words))):
        started = time.perf_counter()
        answers[name] = run()
        print(f"  {name:12s} accuracy {accuracy(answers[name], labels):.2%}  "
              f"({time.perf_counter() - started:.2f} s)", flush=True)
    theirs, ours = answers["PyTorch"], answers["lstm_engine"]
    print(f"  largest difference between the two: {np.abs(theirs - ours).max():.1e}")
    if accuracy(theirs, labels) != accuracy(ours, labels):
        raise SystemExit("the accuracies differ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared/real/ds_rt_polarity",
                        help="folder with rt-polarity.neg and rt-polarity.pos (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder to keep the checkpoint and its spec in (default: a "
                                                 "temporary one)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    if not (args.data / "rt-polarity.pos").is_file():
        parser.error(f"no rt-polarity.pos in {args.data}; give the data's folder with --data")
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    sentences, labels = read(args.data)
    order = np.random.default_rng(args.seed).permutation(len(sentences))
    tenth = len(order) // 10
    parts = {"test": order[:tenth], "check": order[tenth:2 * tenth], "train": order[2 * tenth:]}
    text = {part: [sentences[i] for i in rows] for part, rows in parts.items()}
    counts = Counter(word for sentence in text["train"] for word in sentence)
    word_ids = {word: i for i, (word, _) in enumerate(counts.most_common(VOCAB - 2), start=2)}
    print(f"{len(text['train']):,} sentences to train on, {tenth:,} to check with, {tenth:,} held out; "
          f"{len(word_ids):,} words")

    model = Classifier()
    train(model, padded(text["train"], word_ids, TRAIN_STEPS), labels[parts["train"]],
          padded(text["check"], word_ids, TRAIN_STEPS), labels[parts["check"]], args)
    test_words, test_labels = padded(text["test"], word_ids, PREDICT_STEPS), labels[parts["test"]]
    if args.out is None:
        with tempfile.TemporaryDirectory() as folder:
            compare(model, test_words, test_labels, Path(folder))
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        compare(model, test_words, test_labels, args.out)


if __name__ == "__main__":
    main()
