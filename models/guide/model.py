"""A Llama-architecture decoder small enough to train on a laptop.

RMSNorm before each block, rotary positions on neighbouring pairs (the layout
that GGUF's `llama` architecture expects, so no permutation at export), grouped
key/value heads, SwiGLU, and an output layer tied to the embedding.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 2048
    dim: int = 256          # a multiple of 32 (Q8_0 blocks) and of 256 (K-quant blocks)
    layers: int = 3
    heads: int = 4          # head width 64
    kv_heads: int = 2
    hidden: int = 512
    context: int = 1024     # tokens
    theta: float = 10000.0
    eps: float = 1e-5


class Norm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """x: batch, heads, time, width; cos and sin: time, width / 2."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c, width = c, c.dim // c.heads
        self.attn_norm, self.ffn_norm = Norm(c.dim, c.eps), Norm(c.dim, c.eps)
        self.q, self.o = nn.Linear(c.dim, c.dim, bias=False), nn.Linear(c.dim, c.dim, bias=False)
        self.k, self.v = nn.Linear(c.dim, c.kv_heads * width, bias=False), nn.Linear(c.dim, c.kv_heads * width, bias=False)
        self.gate, self.up = nn.Linear(c.dim, c.hidden, bias=False), nn.Linear(c.dim, c.hidden, bias=False)
        self.down = nn.Linear(c.hidden, c.dim, bias=False)

    def forward(self, x, cos, sin, drop):
        c, (batch, time, _) = self.c, x.shape
        y = self.attn_norm(x)
        split = lambda z, heads: z.view(batch, time, heads, -1).transpose(1, 2)
        q, k = rotate(split(self.q(y), c.heads), cos, sin), rotate(split(self.k(y), c.kv_heads), cos, sin)
        v, group = split(self.v(y), c.kv_heads), c.heads // c.kv_heads
        with torch.autocast("cpu", enabled=False):  # torch's bfloat16 attention is slower than its float32 one on a CPU
            y = F.scaled_dot_product_attention(q.float(), k.float().repeat_interleave(group, 1),
                                               v.float().repeat_interleave(group, 1), is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(batch, time, -1))
        y = self.ffn_norm(x)
        return x + F.dropout(self.down(F.silu(self.gate(y)) * self.up(y)), drop, self.training)


class Llama(nn.Module):
    def __init__(self, c: Config, drop=0.0):
        super().__init__()
        self.c, self.drop = c, drop
        self.embed = nn.Embedding(c.vocab, c.dim)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = Norm(c.dim, c.eps)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 if name.startswith("embed") else p.shape[1] ** -0.5 / ((2 * c.layers) ** 0.5 if deep else 1))
        width = c.dim // c.heads
        angles = torch.outer(torch.arange(c.context).float(), c.theta ** (-torch.arange(0, width, 2).float() / width))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids, keep=None):
        """Logits of every position, or only of those where `keep` is true (rows, vocab)."""
        x = F.dropout(self.embed(ids), self.drop, self.training)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin, self.drop)
        if keep is not None:
            x = x[keep]
        return self.norm(x) @ self.embed.weight.T
