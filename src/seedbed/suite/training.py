# ruff: noqa: ARG001 - an experiment is handed its seed; those that draw globally leave it, as people do
"""Networks trained on the digits with PyTorch, as in any script: weights, batches and dropout are drawn globally."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name that everybody gives it)

from seedbed.suite.inputs import digits

_BATCH_SIZE = 128


def mlp(*, seed: int, device: str) -> dict[str, object]:
    """Train a perceptron with SGD and momentum; weights and batches from torch's global generator."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
    return _train(model, torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9), device, epochs=5)


def cnn(*, seed: int, device: str) -> dict[str, object]:
    """Train a convolutional network with Adam; weights, batches and dropout from torch's global generators."""
    # No biases before the normalisation, which takes them away again: their gradients would be nothing but rounding
    # errors, and Adam would make large steps of them.
    model = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(16 * 4 * 4, 10),
    ).to(device)
    return _train(model, torch.optim.Adam(model.parameters(), lr=0.01), device, epochs=3)


def transformer(*, seed: int, device: str) -> dict[str, object]:
    """Train a transformer with AdamW; weights, batches and dropout from torch's global generators.

    The middle third of its `in_proj_bias`, the bias of the attention's keys, is noise: softmax takes it away again, so
    that its gradient is nothing but rounding errors, and AdamW makes large steps of them. Most transformers have it.
    """
    model = _Transformer(width=32).to(device)
    return _train(model, torch.optim.AdamW(model.parameters(), lr=0.01), device, epochs=2)


class _Transformer(nn.Module):
    """Reads an image as a sentence of four words, two rows of pixels each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(16, width)
        self.position = nn.Parameter(0.02 * torch.randn(4, width))
        self.encoder = nn.TransformerEncoderLayer(width, nhead=2, dim_feedforward=2 * width, batch_first=True)
        self.classify = nn.Linear(4 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        words = self.embed(images.reshape(-1, 4, 16)) + self.position
        logits: Tensor = self.classify(self.encoder(words).flatten(1))
        return logits


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, device: str, epochs: int) -> dict[str, object]:
    train, train_labels, test, test_labels = (torch.tensor(array, device=device) for array in digits())
    losses = []
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(train)).to(device), _BATCH_SIZE):
            loss = F.cross_entropy(model(train[batch]), train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    model.eval()
    with torch.no_grad():
        predictions = model(test).argmax(dim=1)
    return {
        "loss_curve": torch.stack(losses),
        "weights": model.state_dict(),
        "predictions": predictions,
        "accuracy": (predictions == test_labels).float().mean(),
    }
