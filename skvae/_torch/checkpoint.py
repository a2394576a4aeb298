"""The state of a training on disk, from which a killed one goes on."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from .._file import replaced
from .device import plain_modes


class Checkpoint:
    """A file that holds the state after the latest whole epoch of one training.

    It holds tensors and plain values, and is read by a loader that runs no code from it. The path
    holds the old state or the new one, never a part of one.

    Parameters
    ----------
    path : str or Path
        Where to save; the folder must exist.
    task : dict
        What is being trained. That of a file must be the same, but for its seeds where no
        `random_state` was given.

    Attributes
    ----------
    task : dict
        That of the file, if there is one, with the seeds to use.
    training : dict or None
        State that the file held when it was opened; None if there was no file.

    Raises
    ------
    ValueError
        If there is a file that is no checkpoint, or of another training.
    FileNotFoundError, IsADirectoryError
        If there is no such folder, or the path is one.
    """

    def __init__(self, path: str | os.PathLike[str], task: dict[str, Any]):
        # Of a link it is the target that is replaced, and removed at the end.
        self.path = Path(os.path.realpath(path))
        self.task = task
        self.training: dict[str, Any] | None = None
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint={os.fspath(path)!r} cannot be saved: there is no such folder."
            )
        if self.path.is_dir():
            raise IsADirectoryError(
                f"checkpoint={os.fspath(path)!r} is a folder. Give the name of a file in it."
            )
        if not self.path.exists():
            return
        refusal = f"checkpoint={os.fspath(path)!r} is to be a training's state, but the file there"
        try:
            with plain_modes():
                state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # of any kind: the loader trusts the bytes
            raise ValueError(f"{refusal} is not one. Name another, or remove it.") from error
        match state:
            case {"task": {"seeds": _}, "training": {"network": _}} if len(state) == 2:
                self.task, self.training = state["task"], state["training"]
            case _:
                raise ValueError(f"{refusal} holds something else.")
        different = [name for name in task if name != "seeds" and self.task.get(name) != task[name]]
        if different:
            name = different[0]
            raise ValueError(
                f"{refusal} is of another one: {name} was {self.task.get(name)} and is "
                f"{task[name]}. Set it back to go on, or remove the file to begin anew."
            )

    def save(self, state: dict[str, Any]) -> None:
        """Put the state in the place of the one before."""
        # PyTorch's writer has no words for a disk that is full.
        buffer = io.BytesIO()
        torch.save({"task": self.task, "training": state}, buffer)
        with replaced(self.path) as file:
            file.write(buffer.getbuffer())

    def remove(self) -> None:
        """Remove the file: the training is over."""
        self.path.unlink(missing_ok=True)
