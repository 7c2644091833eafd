"""Text: classifiers, taggers and what reads sentences."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_families import FEATURES, HIDDEN, VOCABULARY, family, lengths_of, tokens, tokens_and_lengths


def embedding() -> nn.Embedding:
    return nn.Embedding(VOCABULARY, FEATURES, padding_idx=0)


@family(tokens)
class SentimentLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.dropout = embedding(), nn.Dropout(0.5)
        self.lstm = nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True, dropout=0.5)
        self.fc = nn.Linear(HIDDEN, 1)

    def forward(self, x):
        y, _ = self.lstm(self.embedding(x))
        return torch.sigmoid(self.fc(self.dropout(y[:, -1]))).squeeze(-1)


@family(tokens)
class BiLSTMConcat(nn.Module):
    """The last states of both directions of the last layer, joined (the classifier of the torchtext tutorials)."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 3)

    def forward(self, text):
        _, (hidden, _) = self.rnn(self.embedding(text))
        return self.fc(torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1))


@family(tokens_and_lengths)
class PackedClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, num_layers=2, bidirectional=True)
        self.fc = nn.Linear(2 * HIDDEN, 2)

    def forward(self, text, text_lengths):
        embedded = self.embedding(text.t())
        packed = pack_padded_sequence(embedded, text_lengths.cpu(), enforce_sorted=False)
        _, (hidden, _) = self.rnn(packed)
        return self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1))


@family(tokens_and_lengths)
class PackedTagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.GRU(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 4)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        y, _ = self.rnn(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=x.size(1))
        return F.log_softmax(self.fc(y), dim=-1)


@family(tokens_and_lengths)
class PackedToTheLongest(nn.Module):
    """pad_packed_sequence without total_length: as many steps as the longest row has."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.RNN(FEATURES, HIDDEN, batch_first=True)
        self.fc = nn.Linear(HIDDEN, 4)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        y, hidden = self.rnn(packed)
        y, counted = pad_packed_sequence(y, batch_first=True, padding_value=-1.0)
        return self.fc(y), hidden, counted


@family(tokens_and_lengths)
class MaskedMeanPooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.GRU(FEATURES, HIDDEN, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 3)

    def forward(self, x, lengths):
        y, _ = self.rnn(self.embedding(x))
        mask = (torch.arange(x.size(1), device=x.device)[None, :] < lengths[:, None]).unsqueeze(-1)
        mean = (y * mask.float()).sum(1) / lengths.unsqueeze(1).float()
        top = y.masked_fill(~mask, float("-inf")).max(dim=1).values
        return self.fc(torch.cat([mean, top], dim=-1))


@family(tokens_and_lengths)
class LastOfLengths(nn.Module):
    """The output of the last real step of each row, by gather."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.fc = nn.Linear(HIDDEN, 3)

    def forward(self, x, lengths):
        y, _ = self.rnn(self.embedding(x))
        index = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.size(2))
        gathered = y.gather(1, index).squeeze(1)
        picked = y[torch.arange(y.size(0)), lengths - 1]
        return self.fc(gathered), picked


@family(tokens)
class AttentionPooling(nn.Module):
    """Lin et al. 2017, a structured self-attentive sentence embedding: several heads over the steps."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.first, self.second = nn.Linear(2 * HIDDEN, 7, bias=False), nn.Linear(7, 2, bias=False)
        self.fc = nn.Linear(4 * HIDDEN, 3)

    def forward(self, x):
        y, _ = self.rnn(self.embedding(x))
        scores = self.second(torch.tanh(self.first(y)))
        scores = scores.masked_fill((x == 0).unsqueeze(-1), -1e9)
        weights = F.softmax(scores, dim=1).transpose(1, 2)
        return self.fc(torch.bmm(weights, y).flatten(1)), weights


def documents(rows, steps):
    return (torch.randint(1, VOCABULARY, (rows, 4, steps)),)


@family(documents)
class HierarchicalAttention(nn.Module):
    """Yang et al. 2016: words to sentences, sentences to the document."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.words = nn.GRU(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.word, self.word_context = nn.Linear(2 * HIDDEN, 8), nn.Parameter(torch.randn(8))
        self.sentences = nn.GRU(2 * HIDDEN, HIDDEN, bidirectional=True, batch_first=True)
        self.sentence, self.sentence_context = nn.Linear(2 * HIDDEN, 8), nn.Parameter(torch.randn(8))
        self.fc = nn.Linear(2 * HIDDEN, 5)

    @staticmethod
    def attend(y, project, context):
        alpha = torch.softmax(torch.tanh(project(y)).matmul(context), dim=1)
        return (y * alpha.unsqueeze(-1)).sum(1)

    def forward(self, docs):
        batch, sentences, words = docs.shape
        y, _ = self.words(self.embedding(docs.view(batch * sentences, words)))
        s = self.attend(y, self.word, self.word_context).view(batch, sentences, -1)
        y, _ = self.sentences(s)
        return F.log_softmax(self.fc(self.attend(y, self.sentence, self.sentence_context)), dim=1)


def words_and_chars(rows, steps):
    return torch.randint(1, VOCABULARY, (rows, steps)), torch.randint(1, 30, (rows, steps, 8))


@family(words_and_chars)
class WordCharTagger(nn.Module):
    """Ma and Hovy 2016: a CNN over the characters of each word beside its embedding; emissions for a CRF."""

    def __init__(self):
        super().__init__()
        self.embedding, self.chars = embedding(), nn.Embedding(30, 4)
        self.conv = nn.Conv1d(4, 5, 3, padding=1)
        self.rnn = nn.LSTM(FEATURES + 5, HIDDEN, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 4)

    def forward(self, words, chars):
        b, t, c = chars.shape
        z = self.chars(chars.reshape(b * t, c)).transpose(1, 2)
        z = F.max_pool1d(torch.relu(self.conv(z)), kernel_size=c).squeeze(-1).view(b, t, -1)
        return self.fc(self.rnn(torch.cat([self.embedding(words), z], -1))[0])


@family(words_and_chars)
class CharLSTMTagger(nn.Module):
    """Lample et al. 2016: the last states of a BiLSTM over characters."""

    def __init__(self):
        super().__init__()
        self.embedding, self.chars = embedding(), nn.Embedding(30, 4)
        self.speller = nn.LSTM(4, 3, bidirectional=True, batch_first=True)
        self.rnn = nn.LSTM(FEATURES + 6, HIDDEN, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 4)

    def forward(self, words, chars):
        b, t, c = chars.size()
        _, (h, _) = self.speller(self.chars(chars.view(-1, c)))
        spelled = h.permute(1, 0, 2).contiguous().view(b, t, -1)
        return self.fc(self.rnn(torch.cat((self.embedding(words), spelled), dim=2))[0]).argmax(-1)


def crf_inputs(rows, steps):
    return torch.randint(1, VOCABULARY, (rows, steps)), torch.arange(steps)[None, :] < lengths_of(rows, steps)[:, None]


@family(crf_inputs)
class BiLSTMCRFEmissions(nn.Module):
    """Emissions with the masked steps at zero, and the transitions beside them."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 4)
        self.transitions = nn.Parameter(torch.randn(4, 4))

    def forward(self, x, mask):
        emissions = self.fc(self.rnn(self.embedding(x))[0])
        pairs = emissions[:, 1:].unsqueeze(2) + self.transitions
        return emissions * mask.unsqueeze(-1), torch.logsumexp(pairs, dim=2)


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, 6)),))
class BiLSTMCRFViterbi(nn.Module):
    """The best path of a linear chain, by max and gather step by step: as many steps as the example has."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * HIDDEN, 4)
        self.transitions, self.start = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))

    def forward(self, x):
        emissions = self.fc(self.rnn(self.embedding(x))[0])
        score, back = self.start + emissions[:, 0], []
        for t in range(1, emissions.size(1)):
            best = score.unsqueeze(2) + self.transitions + emissions[:, t].unsqueeze(1)
            score, index = best.max(dim=1)
            back.append(index)
        score, tag = score.max(dim=1)
        path = [tag]
        for index in reversed(back):
            path.append(index.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(path[::-1], dim=1), score


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, steps)), torch.randint(1, VOCABULARY, (rows, 7))))
class SiameseLSTM(nn.Module):
    """Mueller and Thyagarajan 2016: exp(-|h1 - h2|), and the cosine beside it."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = embedding(), nn.LSTM(FEATURES, HIDDEN, batch_first=True)

    def encode(self, x):
        return self.lstm(self.embedding(x))[1][0].squeeze(0)

    def forward(self, a, b):
        left, right = self.encode(a), self.encode(b)
        return (torch.exp(-torch.norm(left - right, p=1, dim=-1)), F.cosine_similarity(left, right),
                F.pairwise_distance(left, right))


@family(lambda rows, steps: (torch.randint(0, VOCABULARY, (rows, steps)), torch.randn(rows, 3)))
class EmbeddingBagClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.most = nn.EmbeddingBag(VOCABULARY, FEATURES), nn.EmbeddingBag(VOCABULARY, FEATURES, mode="max")
        self.total = nn.EmbeddingBag(VOCABULARY, 4, mode="sum", padding_idx=0)
        self.fc = nn.Linear(2 * FEATURES + 7, 3)

    def forward(self, x, extra):
        return self.fc(torch.cat([self.bag(x), self.most(x), self.total(x), extra], 1))


@family(lambda rows, steps: (torch.randint(0, VOCABULARY, (rows * steps,)), torch.arange(rows) * steps))
class EmbeddingBagOffsets(nn.Module):
    """The text classification tutorial: one vector of tokens, and where each text begins."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(VOCABULARY, FEATURES, sparse=False)
        self.fc = nn.Linear(FEATURES, 4)

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, steps)),
                             (torch.randn(2, rows, HIDDEN), torch.randn(2, rows, HIDDEN))))
class WordLanguageModel(nn.Module):
    """The word language model of PyTorch's examples: tied weights, states in and out."""

    def __init__(self):
        super().__init__()
        self.encoder, self.rnn = nn.Embedding(VOCABULARY, HIDDEN), nn.LSTM(HIDDEN, HIDDEN, 2, batch_first=True)
        self.decoder = nn.Linear(HIDDEN, VOCABULARY)
        self.decoder.weight = self.encoder.weight

    def forward(self, x, hidden):
        y, hidden = self.rnn(self.encoder(x), hidden)
        decoded = self.decoder(y).view(-1, VOCABULARY)
        return F.log_softmax(decoded, dim=1), hidden


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, steps)),))
class CharCNNTagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.convs = nn.ModuleList(nn.Conv1d(FEATURES, 4, k, padding="same") for k in (2, 3, 5))
        self.rnn, self.fc = nn.GRU(12, HIDDEN, batch_first=True, bidirectional=True), nn.Linear(2 * HIDDEN, 3)

    def forward(self, x):
        z = self.embedding(x).permute(0, 2, 1)
        z = torch.cat([F.leaky_relu(conv(z), 0.1) for conv in self.convs], 1).permute(0, 2, 1)
        return self.fc(self.rnn(z)[0])


@family(tokens)
class TextCNN(nn.Module):
    """Kim 2014: convolutions of several widths, the greatest over time."""

    def __init__(self):
        super().__init__()
        self.embedding = embedding()
        self.convs = nn.ModuleList(nn.Conv2d(1, 3, (k, FEATURES)) for k in (2, 3, 4))
        self.fc = nn.Linear(9, 2)

    def forward(self, x):
        z = self.embedding(x).unsqueeze(1)
        z = [F.relu(conv(z)).squeeze(3) for conv in self.convs]
        return self.fc(torch.cat([F.max_pool1d(part, part.size(2)).squeeze(2) for part in z], 1))
