"""The state of a training on disk, from which a killed one goes on."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from .._file import replaced


class Checkpoint:
    """A file that holds the state after the latest whole epoch of one training.

    It holds tensors and plain values, and is read by a loader that runs no code from it. The path
    holds the old state or the new one, never a part of one.

    Parameters
    ----------
    path : str or Path
        Where to save; the folder must exist.

    Attributes
    ----------
    task : dict or None
        What is being trained; None if there was no file and `start` was not called.
    training : dict or None
        State that the file held when it was opened; None if there was no file.

    Raises
    ------
    ValueError
        If there is a file that is no checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.task: dict[str, Any] | None = None
        self.training: dict[str, Any] | None = None
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (EOFError, RuntimeError, UnpicklingError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self._refusal} is not one: {error}") from error
        if not isinstance(state, dict) or state.keys() != {"task", "training"}:
            raise ValueError(f"{self._refusal} holds something else.")
        self.task, self.training = state["task"], state["training"]

    @property
    def _refusal(self) -> str:
        return f"checkpoint={str(self.path)!r} is to be a training's state, but the file there"

    def start(self, task: dict[str, Any]) -> dict[str, Any]:
        """Say what is being trained; return the task of the file, which must be the same.

        Seeds may differ where no `random_state` was given: those of the file are the ones to use.

        Raises
        ------
        ValueError
            If the file is of another training.
        """
        if self.task is None:
            self.task = task
        found = self.task
        different = [name for name in task if name != "seeds" and found.get(name) != task[name]]
        if different or (task["random_state"] is not None and found["seeds"] != task["seeds"]):
            name = (different or ["seeds"])[0]
            raise ValueError(
                f"{self._refusal} is of another one: {name} was {found.get(name)!r} and is "
                f"{task[name]!r}. Set it back to go on, or remove the file to begin anew."
            )
        return found

    def save(self, state: dict[str, Any]) -> None:
        """Put the state in the place of the one before."""
        with replaced(self.path) as file:
            torch.save({"task": self.task, "training": state}, file)

    def remove(self) -> None:
        """Remove the file: the training is over."""
        self.path.unlink(missing_ok=True)
