"""Train the demo's character language model on Shakespeare and ship it as a Keras checkpoint.

Embedding -> LSTM -> Dense(softmax), one step per character. Keras 3 on the torch backend steps an LSTM
from Python, about six times slower than torch's own `nn.LSTM`, so the training loop is plain PyTorch; the
weights are then set in a Keras model, and everything that is shipped (checkpoint, outputs, figures) comes
from Keras.

    python examples/char_lm_keras/train.py --text input.txt

writes `shakespeare.keras` and `shakespeare.npz`:

    charset          uint32  [vocab]             code point of each id
    ids              int32   [sequences, steps]  openings of our own lines (verse.txt)
    probs            float32 [sequences, steps, vocab]  Keras' predictions of the next character for `ids`
    score_text       str     [lines]             our own lines: verse.txt, then prose.txt
    score_is_verse   bool    [lines]             True for verse in the corpus' manner, False for plain prose
    score_nats       float32 [lines]             Keras' mean -ln p per character, the first one not counted
    validation_nats  float32 []                  Keras' mean -ln p per character on text held out of training
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

try:
    import keras
    import numpy as np
    import torch
    from torch import nn
except ImportError as error:
    raise SystemExit(f"{error}. This example needs PyTorch and Keras: pip install '.[examples]'") from error

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
STORED_SEQUENCES, STORED_STEPS = 5, 48
VALIDATION_WINDOW = 256


class CharLM(nn.Module):
    """The network as PyTorch trains it; Keras gets the same weights."""

    def __init__(self, vocab: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.lstm = nn.LSTM(embedding, hidden)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, ids, state=None):
        """ids [steps, batch] -> logits [steps, batch, vocab], state (h, c) of [1, batch, hidden]."""
        outputs, state = self.lstm(self.embedding(ids), state)
        return self.head(outputs), state


def as_streams(ids: np.ndarray, streams: int) -> torch.Tensor:
    """Cut one long text into equal streams that are read side by side: [len // streams, streams]."""
    length = len(ids) // streams
    return torch.from_numpy(ids[: length * streams].reshape(streams, length).T.copy()).long()


def chunks(streams: torch.Tensor, steps: int):
    """(inputs, targets) of [<= steps, streams], in reading order."""
    for start in range(0, len(streams) - 1, steps):
        stop = min(start + steps, len(streams) - 1)
        yield streams[start:stop], streams[start + 1 : stop + 1]


def train(model: CharLM, train_ids: np.ndarray, valid_ids: np.ndarray, args: argparse.Namespace) -> None:
    """Truncated backpropagation through time: chunks hand on their state, but not its gradient."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-3)
    chunks_per_epoch = (len(train_ids) // args.batch - 1) // args.steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * (chunks_per_epoch + 1), pct_start=0.05)
    loss_of = nn.CrossEntropyLoss()
    started = time.perf_counter()
    for epoch in range(args.epochs):
        # A new starting point each epoch, so the chunks are cut at other places.
        streams = as_streams(np.roll(train_ids, -int(torch.randint(len(train_ids), ()))), args.batch)
        state, total, steps = None, 0.0, 0
        for inputs, targets in chunks(streams, args.steps):
            if state is not None:
                # Now and then a stream starts from zeros, as a prompt does.
                keep = (torch.rand(args.batch, 1) > 0.05).float()
                state = tuple(part.detach() * keep for part in state)
            logits, state = model(inputs, state)
            loss = loss_of(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total, steps = total + loss.item() * len(inputs), steps + len(inputs)
        print(f"epoch {epoch + 1:3d}/{args.epochs}  train {total / steps:.4f}  "
              f"validation {validate(model, valid_ids):.4f} nats/char  "
              f"{time.perf_counter() - started:4.0f} s", flush=True)


@torch.no_grad()
def validate(model: CharLM, ids: np.ndarray) -> float:
    """Mean -ln p per character, the state carried through the whole text (8 streams)."""
    total, count, state = 0.0, 0, None
    for inputs, targets in chunks(as_streams(ids, 8), 512):
        logits, state = model(inputs, state)
        total += nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
        count += targets.numel()
    return total / count


def to_keras(model: CharLM) -> keras.Model:
    """The same network in Keras. Never compiled, so the checkpoint carries no optimizer state."""
    vocab, embedding = model.embedding.weight.shape
    net = keras.Sequential([
        keras.Input((None,), dtype="int32", name="characters"),
        keras.layers.Embedding(vocab, embedding, name="embedding"),
        keras.layers.LSTM(model.lstm.hidden_size, return_sequences=True, name="lstm"),
        keras.layers.Dense(vocab, activation="softmax", name="next_character"),
    ], name="shakespeare")
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    net.get_layer("embedding").set_weights([weights["embedding.weight"]])
    # PyTorch's gates i,f,g,o are Keras' i,f,c,o; PyTorch keeps two biases, which only ever act as their sum.
    net.get_layer("lstm").set_weights([
        weights["lstm.weight_ih_l0"].T, weights["lstm.weight_hh_l0"].T,
        weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]])
    net.get_layer("next_character").set_weights([weights["head.weight"].T, weights["head.bias"]])
    return net


def mean_nats(probs: np.ndarray, ids: np.ndarray) -> float:
    """Mean -ln p(ids[t + 1] | ids[..t]); probs [batch, steps, vocab], ids [batch, steps]."""
    chosen = np.take_along_axis(probs[:, :-1], ids[:, 1:, None], axis=-1)
    return float(-np.log(chosen.astype(np.float64)).mean())


def stored_arrays(net: keras.Model, charset: list[str], valid_ids: np.ndarray) -> dict[str, np.ndarray]:
    """What ships beside the checkpoint: our own lines and what Keras makes of them."""
    index = {character: i for i, character in enumerate(charset)}

    def encode(text: str) -> np.ndarray:
        return np.array([index[character] for character in text], dtype=np.int32)

    verse = (HERE / "verse.txt").read_text(encoding="utf-8").splitlines()
    prose = (HERE / "prose.txt").read_text(encoding="utf-8").splitlines()
    ids = np.stack([encode(line[:STORED_STEPS]) for line in verse[:STORED_SEQUENCES]])
    # One line at a time: Keras' answer without any padding or mask.
    lines = [encode(line)[None] for line in verse + prose]
    score = [mean_nats(net.predict(line, verbose=0), line) for line in lines]
    windows = len(valid_ids) // VALIDATION_WINDOW
    held_out = valid_ids[: windows * VALIDATION_WINDOW].reshape(windows, VALIDATION_WINDOW).astype(np.int32)
    return {
        "charset": np.array([ord(character) for character in charset], dtype=np.uint32),
        "ids": ids,
        "probs": net.predict(ids, verbose=0).astype(np.float32),
        "score_text": np.array(verse + prose),
        "score_is_verse": np.array([True] * len(verse) + [False] * len(prose)),
        "score_nats": np.array(score, dtype=np.float32),
        "validation_nats": np.float32(mean_nats(net.predict(held_out, batch_size=64, verbose=0), held_out)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path,
                        default=CHECKOUT.parent / "shared/real/ds_tinyshakespeare/input.txt",
                        help="training text, UTF-8 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "lstm_engine/demo_data",
                        help="folder to write to (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32, help="streams of text read side by side")
    parser.add_argument("--steps", type=int, default=128, help="characters a gradient reaches back")
    parser.add_argument("--embedding", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=108)
    parser.add_argument("--lr", type=float, default=6e-3)
    args = parser.parse_args()
    if not args.text.is_file():
        parser.error(f"no text at {args.text}; give one with --text")
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    text = args.text.read_text(encoding="utf-8")
    charset = sorted(set(text))
    index = {character: i for i, character in enumerate(charset)}
    ids = np.array([index[character] for character in text])
    split = len(ids) * 9 // 10
    train_ids, valid_ids = ids[:split], ids[split:]
    print(f"{len(ids):,} characters, {len(charset)} different; the last {len(valid_ids):,} are held out")

    model = CharLM(len(charset), args.embedding, args.hidden)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    train(model, train_ids, valid_ids, args)

    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, arrays_file = args.out / "shakespeare.keras", args.out / "shakespeare.npz"
    to_keras(model).save(checkpoint)
    arrays = stored_arrays(keras.models.load_model(checkpoint), charset, valid_ids)
    np.savez_compressed(arrays_file, **arrays)

    with torch.no_grad():
        torch_probs = model(torch.from_numpy(arrays["ids"].T).long())[0].softmax(-1).transpose(0, 1).numpy()
    verse = arrays["score_is_verse"]
    print(f"Keras on held-out text: {arrays['validation_nats']:.4f} nats/char "
          f"(windows of {VALIDATION_WINDOW} from a zero state)")
    print(f"Keras on our own lines: verse {arrays['score_nats'][verse].mean():.3f}, "
          f"prose {arrays['score_nats'][~verse].mean():.3f} nats/char")
    print(f"largest difference between PyTorch and Keras: {np.abs(torch_probs - arrays['probs']).max():.1e}")
    for path in (checkpoint, arrays_file):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
