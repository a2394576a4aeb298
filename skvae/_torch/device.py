"""Where tensors live, and how fast and how long."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch


def is_available(name: str) -> bool:
    """Whether this machine has the device."""
    if name == "mps":
        return torch.backends.mps.is_available()
    return name == "cpu" or torch.cuda.is_available()


def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MB of freed memory for the next temporaries.

    The GNU one gives large blocks back to the system, and faulting them in again costs a step of
    training as much as a matrix product. It stops doing so for blocks as large as the largest that
    was freed so far, up to 32 MB: this frees one, which costs nothing since nobody wrote to it.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


@contextmanager
def plain_modes() -> Iterator[None]:
    """Make tensors that can be trained with, on the CPU if nothing else is said, as by default."""
    moved = torch.empty(0).device.type != "cpu"
    # On the CPU already, the mode would only cost time in every call of PyTorch.
    with torch.inference_mode(False), torch.device("cpu") if moved else nullcontext():
        yield


@contextmanager
def plain_training(device: str) -> Iterator[None]:
    """Train as anywhere else, in whatever modes of PyTorch the caller is."""
    kind = training_device(device).type
    with plain_modes(), torch.enable_grad(), torch.autocast(kind, enabled=False):
        yield


@cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether matrices of bfloat16 are multiplied by instructions of their own, hence faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of PyTorch have no public way to know of a CPU.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(
        capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16")
    )


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
