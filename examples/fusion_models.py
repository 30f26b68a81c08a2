"""Seven fusion models: they make one vector from a window's frames, sound and text. All have the same interface:

    forward(frame, frame_valid, audio, text, present) -> float32 [B, F], unit length

    frame        float32 [B, T, D]  unit vectors; zeros for ticks without a frame
    frame_valid  bool    [B, T]     whether the tick has a frame
    audio        float32 [B, T, A]  audio features as stored; zeros for ticks without sound
    text         float32 [B, E]     sentence embedding; zeros without speech
    present      bool    [B, 3]     whether to use frame, audio, text: the result must not depend on a missing one

`dimension` is F. Each module can be exported as TorchScript, which `reelbeam extract --fuse FILE` loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Sizes:
    """Sizes of the inputs, the hidden layers and the output."""

    ticks: int
    frame: int
    audio: int
    text: int
    hidden: int = 64
    fused: int = 96


class Encoders(nn.Module):
    """Encodes each modality as tokens of one size: frames and sound [B, T, H] with position embeddings p, text [B, 1, H].

    frames  gelu(y + c * y) where y_t = W f_t sqrt(D) + p_t for ticks with a frame, else 0; c * y is a convolution over 3 ticks
    sound   the same with y_t = W (a_t - mean) / std + p_t; mean and std over all training ticks
    text    gelu(W t sqrt(E))
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        h = sizes.hidden
        self.frame = nn.Linear(sizes.frame, h)
        self.audio = nn.Linear(sizes.audio, h)
        self.text = nn.Linear(sizes.text, h)
        self.place = nn.Parameter(torch.randn(sizes.ticks, h) * 0.1)
        self.frame_time = nn.Conv1d(h, h, 3, padding=1)
        self.audio_time = nn.Conv1d(h, h, 3, padding=1)
        self.audio_mean: Tensor
        self.audio_std: Tensor
        self.register_buffer("audio_mean", torch.zeros(sizes.audio))
        self.register_buffer("audio_std", torch.ones(sizes.audio))

    def forward(self, frame: Tensor, frame_valid: Tensor, audio: Tensor, text: Tensor, present: Tensor) -> Tensor:
        """Tokens [B, 2 T + 1, H]: frames, sound, text. Missing ones are zero."""
        seen = (frame_valid & present[:, :1]).unsqueeze(-1).to(frame.dtype)
        heard = present[:, 1:2].unsqueeze(-1).to(frame.dtype)
        said = present[:, 2:].unsqueeze(-1).to(frame.dtype)
        # Unit vectors have entries of about 1 / sqrt(size); this scales them to about 1.
        frames = self.frame(frame * frame.size(-1) ** 0.5) + self.place
        frames = F.gelu(frames + self.frame_time((frames * seen).transpose(1, 2)).transpose(1, 2)) * seen
        sounds = self.audio((audio - self.audio_mean) / self.audio_std) + self.place
        sounds = F.gelu(sounds + self.audio_time((sounds * heard).transpose(1, 2)).transpose(1, 2)) * heard
        words = F.gelu(self.text(text * text.size(-1) ** 0.5)).unsqueeze(1) * said
        return F.dropout(torch.cat([frames, sounds, words], 1), 0.3, self.training)


def token_mask(frame_valid: Tensor, present: Tensor) -> Tensor:
    """bool [B, 2 T + 1]: which tokens are present."""
    heard = present[:, 1:2].expand(-1, frame_valid.size(1))
    return torch.cat([frame_valid & present[:, :1], heard, present[:, 2:]], 1)


def mean_of(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens [B, N, H] with mask [B, N] set: [B, H]; zeros when none is set."""
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def modalities(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean token of each modality: [B, 3, H]."""
    t = (tokens.size(1) - 1) // 2
    seen, heard = mean_of(tokens[:, :t], mask[:, :t]), mean_of(tokens[:, t : 2 * t], mask[:, t : 2 * t])
    return torch.stack([seen, heard, tokens[:, 2 * t]], 1)


def two_layers(size_in: int, size_out: int, hidden: int) -> nn.Sequential:
    """W2 gelu(W1 x + b1) + b2, called mlp(x) below."""
    return nn.Sequential(nn.Linear(size_in, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, size_out))


class Fusion(nn.Module):
    """Base class: encodes the inputs, fuses them, and scales the result to unit length.

    In the formulas below, f, a and t are the means of the present tokens of frames, sound and text (0 without any); n = (n_f, n_a,
    n_t) is 1 for present modalities and 0 for others; and [ ; ] is concatenation.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.dimension = sizes.fused
        self.encoders = Encoders(sizes)

    def forward(self, frame: Tensor, frame_valid: Tensor, audio: Tensor, text: Tensor, present: Tensor) -> Tensor:
        tokens = self.encoders(frame, frame_valid, audio, text, present)
        return F.normalize(self.fuse(tokens, token_mask(frame_valid, present), present), dim=-1)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """Fuses tokens [B, 2 T + 1, H] into vectors [B, F]."""
        return tokens[:, 0]


class Early(Fusion):
    """Concatenation: mlp([f ; a ; t ; n])."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        self.join = two_layers(3 * sizes.hidden + 3, sizes.fused, 2 * sizes.hidden)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        return self.join(torch.cat([modalities(tokens, mask).flatten(1), present.to(tokens.dtype)], 1))


class Intermediate(Fusion):
    """A gated sum of the modalities: W sum_m h_m * sigmoid(G_m [h_f ; h_a ; h_t]), h_m = n_m mlp_m(m)."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        h = sizes.hidden
        self.alone = nn.ModuleList([two_layers(h, h, h) for _ in range(3)])
        self.gate = nn.Linear(3 * h, 3 * h)
        self.join = nn.Linear(h, sizes.fused)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        means = modalities(tokens, mask)
        deep = torch.stack([layers(means[:, at]) for at, layers in enumerate(self.alone)], 1)
        deep = deep * present.unsqueeze(-1).to(deep.dtype)
        gated = deep * torch.sigmoid(self.gate(deep.flatten(1))).reshape(deep.shape)
        return self.join(gated.sum(1))


class Late(Fusion):
    """Concatenates separate vectors of the modalities: [u_f ; u_a ; u_t], u_m = n_m mlp_m(m) / |mlp_m(m)|.

    So a linear classifier on it is a sum of three classifiers, one per modality.
    """

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        third = sizes.fused // 3
        rest = sizes.fused - 2 * third
        self.seen = two_layers(sizes.hidden, rest, sizes.hidden)
        self.heard = two_layers(sizes.hidden, third, sizes.hidden)
        self.said = two_layers(sizes.hidden, third, sizes.hidden)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        m, counts = modalities(tokens, mask), present.to(tokens.dtype)
        seen = F.normalize(self.seen(m[:, 0]), dim=-1) * counts[:, :1]
        heard = F.normalize(self.heard(m[:, 1]), dim=-1) * counts[:, 1:2]
        said = F.normalize(self.said(m[:, 2]), dim=-1) * counts[:, 2:]
        return torch.cat([seen, heard, said], 1)


class Attention(Fusion):
    """One learned query q attends to all tokens x: mlp([sum_i softmax_i(q . K x_i / sqrt(H)) V x_i ; f + a + t])."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        h = sizes.hidden
        self.query = nn.Parameter(torch.randn(h))
        self.keys, self.values = nn.Linear(h, h), nn.Linear(h, h)
        self.join = two_layers(2 * h, sizes.fused, 2 * h)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        scores = (self.keys(tokens) @ self.query) / tokens.size(-1) ** 0.5
        weights = torch.softmax(scores.masked_fill(~mask, -1e4), 1).unsqueeze(-1)
        seen = (weights * self.values(tokens)).sum(1)
        return self.join(torch.cat([seen, modalities(tokens, mask).sum(1)], 1))


class Memory(Fusion):
    """A recurrent memory over the ticks: m_0 = tanh(S t), m_i = GRU([frame_i ; sound_i], m_(i-1)); mlp([m_T ; f + a + t])."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        h = sizes.hidden
        self.start = nn.Linear(h, h)
        self.cell = nn.GRUCell(2 * h, h)
        self.join = two_layers(2 * h, sizes.fused, h)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        t = (tokens.size(1) - 1) // 2
        memory = torch.tanh(self.start(tokens[:, 2 * t]))
        for tick in range(t):
            memory = self.cell(torch.cat([tokens[:, tick], tokens[:, t + tick]], 1), memory)
        return self.join(torch.cat([memory, modalities(tokens, mask).sum(1)], 1))


class Hierarchical(Fusion):
    """Fuses pairs, then the three results: mlp([pair(f, a) ; pair(f, t) ; pair(a, t) ; n]), pair(x, y) = mlp'([x ; y])."""

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        h = sizes.hidden
        self.pair = two_layers(2 * h, h, h)
        self.join = two_layers(3 * h + 3, sizes.fused, 2 * h)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        m = modalities(tokens, mask)
        seen_heard = self.pair(torch.cat([m[:, 0], m[:, 1]], 1))
        seen_said = self.pair(torch.cat([m[:, 0], m[:, 2]], 1))
        heard_said = self.pair(torch.cat([m[:, 1], m[:, 2]], 1))
        return self.join(torch.cat([seen_heard, seen_said, heard_said, present.to(tokens.dtype)], 1))


class Transformer(Fusion):
    """Cross-modal attention: two self-attention layers over a summary token s and all tokens, each plus a vector of its modality.

    The result is W [s'' ; f + a + t], where s'' is the summary after both layers, and f, a, t are means of the input tokens.
    """

    def __init__(self, sizes: Sizes):
        super().__init__(sizes)
        h = sizes.hidden
        self.summary = nn.Parameter(torch.randn(h) * 0.1)
        self.kind = nn.Parameter(torch.randn(3, h) * 0.1)
        self.layers = nn.ModuleList([Layer(h) for _ in range(2)])
        self.join = nn.Linear(2 * h, sizes.fused)

    def fuse(self, tokens: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        batch, t = tokens.size(0), (tokens.size(1) - 1) // 2
        kinds = torch.cat([self.kind[:1].expand(t, -1), self.kind[1:2].expand(t, -1), self.kind[2:]], 0)
        x = torch.cat([self.summary.expand(batch, 1, -1), tokens + kinds], 1)
        counts = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
        for layer in self.layers:
            x = layer(x, counts)
        return self.join(torch.cat([x[:, 0], modalities(tokens, mask).sum(1)], 1))


class Layer(nn.Module):
    """y = x + O heads(norm(x)), then y + mlp(norm(y)). Each of 4 heads: softmax(q k / sqrt(H / 4)) v over the present tokens."""

    def __init__(self, size: int):
        super().__init__()
        self.before, self.after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.deep = two_layers(size, size, 2 * size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, n, size = x.shape
        qkv = self.qkv(self.before(x)).reshape(batch, n, 3, 4, size // 4).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask[:, None, None, :])
        x = x + self.out(seen.transpose(1, 2).reshape(batch, n, size))
        return x + self.deep(self.after(x))


KINDS: dict[str, type[Fusion]] = {
    "early": Early,
    "intermediate": Intermediate,
    "late": Late,
    "attention": Attention,
    "memory": Memory,
    "hierarchical": Hierarchical,
    "transformer": Transformer,
}


def export(fusion: Fusion, file: str) -> None:
    """Writes the module as TorchScript with the attribute `dimension`, for `reelbeam extract --fuse`."""
    torch.jit.script(fusion.eval()).save(file)
