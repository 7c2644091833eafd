"""Train a bidirectional part-of-speech tagger in PyTorch on UD English ATIS and export it to ONNX.

Embedding -> bidirectional LSTM -> Linear, one tag per word; batch and time stay dynamic in the export.
Sentences are batched with others of their own length, so no padding reaches the backward direction and the
network needs no lengths.

    python examples/tagger_onnx/train.py --data ud_en_atis

writes `tagger.onnx` (input `words` int64 [batch, time], output `logits` float32 [batch, time, tags]) and
`tagger.npz`:

    words          str     [vocab]         the word of each id; id 0 stands for every other word
    tags           str     [tags]          universal part-of-speech tags, in the order of the logits
    sentences      str     [sentences]     our own sentences (sentences.txt), words split by spaces
    lengths        int64   [sentences]     words in each
    ids            int64   [all words]     their ids, one sentence after the other
    logits         float32 [all words, tags]   PyTorch's outputs for them, sentence by sentence
    dev_accuracy   float64 []              share of the development set's words tagged right
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

try:
    import numpy as np
    import torch
    from exporting import check_with_onnxruntime, export
    from torch import nn
except ImportError as error:
    raise SystemExit(f"{error}. This example needs PyTorch and ONNX: pip install '.[examples]'") from error

UNKNOWN = "<unknown>"

Sentence = list[tuple[str, str]]  # (word, tag)


class Tagger(nn.Module):
    def __init__(self, vocab: int, embedding: int, hidden: int, tags: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, tags)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """words [batch, time] -> logits [batch, time, tags]."""
        outputs, _ = self.lstm(self.dropout(self.embedding(words)))
        return self.head(self.dropout(outputs))


def read_conllu(path: Path) -> list[Sentence]:
    """Sentences of (FORM, UPOS). Comments, multi-word ranges and empty nodes are left out."""
    sentences: list[Sentence] = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        fields = [line.split("\t") for line in block.splitlines() if line and not line.startswith("#")]
        if fields:
            sentences.append([(field[1], field[3]) for field in fields if field[0].isdigit()])
    return sentences


def vocabulary(sentences: list[Sentence], least: int) -> list[str]:
    counts = Counter(word for sentence in sentences for word, _ in sentence)
    return [UNKNOWN, *sorted(word for word, count in counts.items() if count >= least)]


def most_frequent_tag_accuracy(train: list[Sentence], dev: list[Sentence]) -> float:
    """What a table of each word's commonest tag gets: the figure context must beat."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in train:
        for word, tag in sentence:
            counts[word][tag] += 1
            counts[UNKNOWN][tag] += 1
    pairs = [pair for sentence in dev for pair in sentence]
    best = {word: tally.most_common(1)[0][0] for word, tally in counts.items()}
    right = sum(best.get(word, best[UNKNOWN]) == tag for word, tag in pairs)
    return right / len(pairs)


def batches(sentences: list[Sentence], word_ids: dict[str, int], tag_ids: dict[str, int],
            size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, tags) of [<= size, time], every batch of one length. A tag never seen in training is -1."""
    by_length: dict[int, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        by_length[len(sentence)].append(sentence)
    made = []
    for group in by_length.values():
        order = torch.randperm(len(group)).tolist()
        for start in range(0, len(group), size):
            rows = [group[i] for i in order[start:start + size]]
            made.append((torch.tensor([[word_ids.get(word, 0) for word, _ in row] for row in rows]),
                         torch.tensor([[tag_ids.get(tag, -1) for _, tag in row] for row in rows])))
    return made


@torch.no_grad()
def accuracy(model: Tagger, data: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    model.eval()
    right = sum(int((model(words).argmax(-1) == tags).sum()) for words, tags in data)
    return right / sum(tags.numel() for _, tags in data)


def train(model: Tagger, sentences: list[Sentence], word_ids: dict[str, int], tag_ids: dict[str, int],
          dev: list[tuple[torch.Tensor, torch.Tensor]], args: argparse.Namespace) -> float:
    """A fixed number of epochs; `dev` is only watched. Returns its accuracy after the last."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    loss_of = nn.CrossEntropyLoss()
    score = 0.0
    for epoch in range(args.epochs):
        model.train()
        data = batches(sentences, word_ids, tag_ids, args.batch)
        for i in torch.randperm(len(data)).tolist():
            words, tags = data[i]
            # Some words are hidden, or id 0 would never be trained and the context never be needed.
            words = words * (torch.rand(words.shape) >= args.word_dropout)
            loss = loss_of(model(words).flatten(0, 1), tags.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        score = accuracy(model, dev)
        print(f"epoch {epoch + 1:2d}/{args.epochs}  loss of the last batch {loss.item():.3f}  "
              f"dev accuracy {score:.2%}", flush=True)
    return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared/real/ds_ud_en_atis",
                        help="folder with en_atis-ud-{train,dev}.conllu (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE,
                        help="folder to write to (default: %(default)s)")
    parser.add_argument("--dynamo", action="store_true",
                        help="export with torch.export instead of TorchScript")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--embedding", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=40)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--word-dropout", type=float, default=0.05, help="share of words hidden in training")
    parser.add_argument("--least", type=int, default=2, help="rarer words than this have no id of their own")
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    files = [args.data / f"en_atis-ud-{part}.conllu" for part in ("train", "dev")]
    for file in files:
        if not file.is_file():
            parser.error(f"no file at {file}; give the treebank's folder with --data")
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    train_sentences, dev_sentences = map(read_conllu, files)
    words = vocabulary(train_sentences, args.least)
    tags = sorted({tag for sentence in train_sentences for _, tag in sentence})
    word_ids = {word: i for i, word in enumerate(words)}
    tag_ids = {tag: i for i, tag in enumerate(tags)}
    print(f"{len(train_sentences):,} sentences to train on, {len(dev_sentences)} to check with; "
          f"{len(words)} words, {len(tags)} tags")

    model = Tagger(len(words), args.embedding, args.hidden, len(tags), args.dropout)
    dev = batches(dev_sentences, word_ids, tag_ids, args.batch)
    dev_accuracy = train(model, train_sentences, word_ids, tag_ids, dev, args)
    print(f"dev accuracy {dev_accuracy:.2%}; each word's commonest tag alone: "
          f"{most_frequent_tag_accuracy(train_sentences, dev_sentences):.2%}")

    sentences = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    ids = [np.array([word_ids.get(word, 0) for word in sentence.split()]) for sentence in sentences]
    with torch.no_grad():
        logits = [model(torch.from_numpy(row)[None])[0].numpy() for row in ids]
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, arrays_file = args.out / "tagger.onnx", args.out / "tagger.npz"
    export(model, checkpoint, "words", "logits", args.dynamo)
    check_with_onnxruntime(model, checkpoint, ids)
    np.savez_compressed(
        arrays_file, words=np.array(words), tags=np.array(tags), sentences=np.array(sentences),
        lengths=np.array([len(row) for row in ids]), ids=np.concatenate(ids), logits=np.concatenate(logits),
        dev_accuracy=np.float64(dev_accuracy))
    print(f"{arrays_file}: {arrays_file.stat().st_size:,} bytes")
    for sentence, row in zip(sentences, logits):
        print(" ".join(f"{word}/{tags[i]}" for word, i in zip(sentence.split(), row.argmax(-1))))


if __name__ == "__main__":
    main()
