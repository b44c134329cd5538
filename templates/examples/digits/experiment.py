"""Which digit is it? A small network, trained on the 1797 handwritten digits that come with scikit-learn."""

from typing import Any

import numpy as np
import torch
from seedbed import Streams, loader_kwargs
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 10
RATE = 0.1


def run(*, seed: int, device: str) -> dict[str, Any]:
    """Train, and test: all that is random follows from `seed`, by streams that are named after their use."""
    streams = Streams(seed)
    train, test = digits(streams)
    model = network(streams).to(device)
    batches = DataLoader(train, batch_size=64, shuffle=True, **loader_kwargs(streams.child("batches")))
    losses = fit(model, batches, device)
    images, labels = test.tensors
    with torch.no_grad():
        predictions = model(images.to(device)).argmax(dim=1).cpu()
    return {
        "weights": model.state_dict(),
        "losses": np.array(losses),
        "predictions": predictions,
        "accuracy": (predictions == labels).float().mean().item(),
    }


def digits(streams: Streams) -> tuple[TensorDataset, TensorDataset]:
    """Split the digits into what to train on and what to test with: images of 64 pixels from 0 to 1, and labels."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    parts = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=streams.sklearn("split"))
    train, test, train_labels, test_labels = map(torch.from_numpy, parts)
    return TensorDataset(train, train_labels), TensorDataset(test, test_labels)


def network(streams: Streams) -> nn.Sequential:
    """Make a network with one hidden layer, whose first weights come from a stream of their own."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    generator = streams.torch("weights")
    for name, values in model.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_uniform_(values, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(values)
    return model


def fit(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]], device: str) -> list[float]:
    """Train `model`, and return the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    losses = []
    for _ in range(EPOCHS):
        total = 0.0
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses
