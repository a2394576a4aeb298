"""Where tensors live."""

from __future__ import annotations

import warnings

import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def is_available(name: str) -> bool:
    """Whether this machine has the device."""
    if name == "mps":
        return torch.backends.mps.is_available()
    return name == "cpu" or torch.cuda.is_available()


def training_device(name: str) -> torch.device:
    """Device to train on.

    Raises
    ------
    ValueError
        If it was asked for by name and is not there.
    """
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if is_available(device))
    if not is_available(name):
        raise ValueError(
            f"device={name!r} was asked for, but PyTorch finds none on this machine. Use "
            "device='auto' to take a GPU where there is one, or device='cpu'."
        )
    return torch.device(name)


def scoring_device(name: str) -> torch.device:
    """Device to score on: in float64, and always one that is there.

    A missing device costs a warning, not the model: what was trained on a GPU scores without one.
    """
    if name not in ("auto", "cpu") and not is_available(name):
        warnings.warn(
            f"device={name!r} was asked for, but PyTorch finds none on this machine; scoring on "
            "the CPU instead.",
            stacklevel=2,
        )
        name = "cpu"
    device = training_device(name)
    return torch.device("cpu") if device.type == "mps" else device  # mps has no float64
