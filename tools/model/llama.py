"""The Llama architecture in torch, as small as it can be written: enough to train and to sample.

Names of modules follow those of Hugging Face's checkpoints, so that the state is saved as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model. Every head has keys and values of its own."""

    vocabulary: int = 1024
    context: int = 512
    width: int = 128
    layers: int = 6
    heads: int = 4
    feed_forward: int = 352
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def compute_rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of the rotary embedding, one row a position."""
    exponents = torch.arange(0, shape.head_width, 2).float() / shape.head_width
    angles = torch.outer(torch.arange(shape.context).float(), shape.rope_theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate the halves of each head against each other, as Hugging Face lays them out."""
    left, right = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-right, left), dim=-1) * sines


class Memory:
    """The keys and values of one attention so far, while text is sampled."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    @property
    def length(self) -> int:
        return 0 if self.keys is None else self.keys.shape[2]

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add what is new and return all."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), dim=2)
            values = torch.cat((self.values, values), dim=2)
        self.keys, self.values = keys, values
        return keys, values


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_width = shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(
        self, x: Tensor, cosines: Tensor, sines: Tensor, memory: Memory | None = None
    ) -> Tensor:
        batch, length, width = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, -1, self.head_width).transpose(1, 2)

        q = rotate(heads(self.q_proj(x)), cosines, sines)
        k = rotate(heads(self.k_proj(x)), cosines, sines)
        v = heads(self.v_proj(x))
        if memory is not None:
            k, v = memory.extend(k, v)
        # A single new token sees everything; several come first of all, so the mask is square.
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = FeedForward(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_eps)

    def forward(
        self, x: Tensor, cosines: Tensor, sines: Tensor, memory: Memory | None = None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosines, sines, memory)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The model. The embedding of the tokens is the output matrix too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        cosines, sines = compute_rotary_tables(shape)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        # What is added to the residual stream starts smaller, the more layers add to it (GPT-2).
        residual = 0.02 / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                added = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=residual if added else 0.02)

    def forward(self, tokens: Tensor, memories: Sequence[Memory] | None = None) -> Tensor:
        """Return the logits after each of ``tokens``: batch, position, vocabulary.

        With ``memories``, one a layer, tokens go on where the last call ended: all of the prompt
        at first, then one at a time.
        """
        begin = memories[0].length if memories else 0
        end = begin + tokens.shape[1]
        cosines, sines = self.cosines[begin:end], self.sines[begin:end]
        x = self.embed_tokens(tokens)
        for i, layer in enumerate(self.layers):
            x = layer(x, cosines, sines, memories[i] if memories else None)
        return functional.linear(self.norm(x), self.embed_tokens.weight)

    def loss(self, tokens: Tensor) -> Tensor:
        """Return the mean cross-entropy, in nats, of each token but the first of a row."""
        logits = self(tokens[:, :-1])
        return functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
