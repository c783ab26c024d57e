"""The same five as torch models, written as torch users write them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu, max_pool2d, relu

from studies.diagrams.networks import EPS, Sizes


class Attention(nn.Module):
    """A block of attention and feed-forward, with norms before each."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.heads = s.heads
        self.before, self.between = (nn.LayerNorm(s.width, EPS) for _ in range(2))
        self.query, self.key, self.value, self.out = (nn.Linear(s.width, s.width) for _ in range(4))
        self.up, self.down = nn.Linear(s.width, 4 * s.width), nn.Linear(4 * s.width, s.width)

    def forward(self, x: torch.Tensor, kept: list[torch.Tensor] | None = None) -> torch.Tensor:
        """x [n, width]; `kept` has keys and values [earlier, heads, d], and takes in these."""
        h = self.before(x)
        q, k, v = (
            y.reshape(len(x), self.heads, -1) for y in (self.query(h), self.key(h), self.value(h))
        )
        if kept is not None:
            kept[:] = k, v = [torch.cat([a, b]) for a, b in zip(kept, (k, v), strict=True)]
        scores = q.transpose(0, 1) @ k.permute(1, 2, 0) * q.shape[-1] ** -0.5
        mixed = (scores.softmax(-1) @ v.transpose(0, 1)).transpose(0, 1).reshape(x.shape)
        x = x + self.out(mixed)
        y: torch.Tensor = x + self.down(gelu(self.up(self.between(x))))
        return y


class Transformer(nn.Module):
    """A causal decoder that keeps keys and values."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.embedding = nn.Embedding(s.vocabulary, s.width)
        self.places = nn.Embedding(s.tokens, s.width)
        self.layers = nn.ModuleList(Attention(s) for _ in range(s.layers))
        self.last, self.head = nn.LayerNorm(s.width, EPS), nn.Linear(s.width, s.vocabulary)
        none = torch.zeros(0, s.heads, s.width // s.heads)
        self.kept = [[none, none] for _ in range(s.layers)]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] of tokens [n], one after the other."""
        rows = []
        for position, token in enumerate(tokens):
            x = self.embedding(token[None]) + self.places(torch.tensor([position]))
            for layer, kept in zip(self.layers, self.kept, strict=True):
                x = layer(x, kept)
            rows.append(self.head(self.last(x)))
        return torch.cat(rows)


class VisionTransformer(nn.Module):
    """Patches as tokens."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.patches = nn.Conv2d(3, s.width, s.patch, s.patch)
        self.token = nn.Parameter(torch.zeros(1, s.width))
        self.places = nn.Parameter(torch.zeros((s.side // s.patch) ** 2 + 1, s.width))
        self.layers = nn.ModuleList(Attention(s) for _ in range(s.layers))
        self.last, self.head = nn.LayerNorm(s.width, EPS), nn.Linear(s.width, s.classes)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Logits [1, classes] of one picture [1, 3, side, side]."""
        x = torch.cat([self.token, self.patches(picture)[0].flatten(1).T]) + self.places
        for layer in self.layers:
            x = layer(x)
        y: torch.Tensor = self.head(self.last(x)[:1])
        return y


class Convolutional(nn.Module):
    """Two convolutions with pooling, then two matrices."""

    def __init__(self, s: Sizes):
        super().__init__()
        c = s.channels
        self.first, self.second = nn.Conv2d(3, c, 3, padding=1), nn.Conv2d(c, 2 * c, 3, padding=1)
        self.hidden = nn.Linear((s.side // 4) ** 2 * 2 * c, 4 * c)
        self.head = nn.Linear(4 * c, s.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [1, classes] of [1, 3, side, side]."""
        x = max_pool2d(relu(self.first(x)), 2)
        x = max_pool2d(relu(self.second(x)), 2)
        y: torch.Tensor = self.head(relu(self.hidden(x.flatten(1))))
        return y


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, given: int, channels: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(given, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.stride = stride
        if stride != 1:
            self.short = nn.Conv2d(given, channels, 1, stride, bias=False)
            self.short_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[1, channels, side, side] of [1, given, ...]."""
        y = self.second_norm(self.second(relu(self.first_norm(self.first(x)))))
        around = self.short_norm(self.short(x)) if self.stride != 1 else x
        return relu(around + y)


class Residual(nn.Module):
    """Two stages of two blocks."""

    def __init__(self, s: Sizes):
        super().__init__()
        c = s.channels
        self.stem, self.stem_norm = nn.Conv2d(3, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(given, made, stride), ResidualBlock(made, made, 1))
            for given, made, stride in ((c, c, 1), (c, 2 * c, 2))
        )
        self.head = nn.Linear(2 * c, s.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [1, classes] of [1, 3, side, side]."""
        x = relu(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        y: torch.Tensor = self.head(x.mean((2, 3)))
        return y


class Double(nn.Module):
    """Two convolutions."""

    def __init__(self, given: int, channels: int):
        super().__init__()
        self.first = nn.Conv2d(given, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As many pixels."""
        return relu(self.second(relu(self.first(x))))


class UNet(nn.Module):
    """Down twice, up twice."""

    def __init__(self, s: Sizes):
        super().__init__()
        c = s.channels
        self.down = nn.ModuleList([Double(3, c), Double(c, 2 * c)])
        self.bottom = Double(2 * c, 4 * c)
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(2 * c, c, 2, 2), nn.ConvTranspose2d(4 * c, 2 * c, 2, 2)]
        )
        self.join = nn.ModuleList([Double(2 * c, c), Double(4 * c, 2 * c)])
        self.head = nn.Conv2d(c, s.classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classes of pixels [1, classes, side, side]."""
        first = self.down[0](x)
        second = self.down[1](max_pool2d(first, 2))
        x = self.bottom(max_pool2d(second, 2))
        x = self.join[1](torch.cat([second, self.up[1](x)], 1))
        y: torch.Tensor = self.head(self.join[0](torch.cat([first, self.up[0](x)], 1)))
        return y


MODELS: dict[str, type[nn.Module]] = {
    "transformer": Transformer,
    "convolutional net": Convolutional,
    "ResNet": Residual,
    "U-Net": UNet,
    "ViT": VisionTransformer,
}


def random_model(name: str, s: Sizes, seed: int) -> nn.Module:
    """A model in evaluation mode, all its numbers drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    model = MODELS[name](s).eval()
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            spread = max(1, tensor[0].numel()) ** -0.5 if tensor.dim() > 1 else 0.3
            tensor.copy_(1 + 0.2 * drawn.abs() if key.endswith("running_var") else spread * drawn)
    return model
