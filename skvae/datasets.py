"""The SMS Spam Collection, and a synthetic stand-in for it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch, check_random_state

from ._grammar import ham_message, spam_message

__all__ = ["fetch_sms_spam", "make_messages"]

SMS_SPAM_URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
SMS_SPAM_FILE = "SMSSpamCollection"
SMS_SPAM_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
TIMEOUT = 30  # seconds without an answer

TARGET_NAMES = ["ham", "spam"]

DESCRIPTION = """\
SMS Spam Collection
-------------------
5,574 English text messages, of which 747 (13.4 %) are spam, collected for research on mobile spam.

T. A. Almeida, J. M. Gomez Hidalgo and A. Yamakami, "Contributions to the Study of SMS Spam
Filtering: New Collection and Results", DocEng 2011. UCI Machine Learning Repository,
doi:10.24432/C5CC84, CC BY 4.0.
"""


def fetch_sms_spam(*, data_home=None, path=None, download_if_missing=True, return_X_y=False):
    """Load the SMS Spam Collection, and download it where that has not been done.

    The archive is downloaded once with pooch and the messages file in it checked against its
    SHA-256 before it is kept; a broken or wrong download leaves nothing behind.

    =================   =======
    Classes                   2
    Samples total          5574
    Spam                    747
    =================   =======

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of the cache; None for scikit-learn's (`sklearn.datasets.get_data_home`).
    path : str or path-like, default=None
        Read this file instead, without a network or a cache: one message a line, "ham" or "spam",
        a tab, and the text, in UTF-8.
    download_if_missing : bool, default=True
        Whether to download what is not in the cache.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    dataset : Bunch
        data : list of str of length n_samples
            Messages.
        target : ndarray of shape (n_samples,)
            0 for ham, 1 for spam.
        target_names : list of str
            ``["ham", "spam"]``.
        DESCR : str
            What the collection is and where it comes from.
    (data, target) : tuple if `return_X_y`
        The two alone.

    Raises
    ------
    OSError
        If the collection is neither cached nor to be downloaded, or what came is not it.
    ValueError
        If a line of `path` is not a label, a tab and a message, or the file is not in UTF-8.
    ImportError
        If it must be downloaded and pooch is not installed.

    References
    ----------
    T. A. Almeida, J. M. Gomez Hidalgo and A. Yamakami, "Contributions to the Study of SMS Spam
    Filtering: New Collection and Results", DocEng 2011.

    Examples
    --------
    >>> from skvae.datasets import fetch_sms_spam
    >>> messages, is_spam = fetch_sms_spam(return_X_y=True)  # doctest: +SKIP
    """
    file = Path(path) if path is not None else _cached_file(data_home, download_if_missing)
    data, target = _read_messages(file.expanduser())
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, target_names=list(TARGET_NAMES), DESCR=DESCRIPTION)


def _read_messages(file: Path) -> tuple[list[str], np.ndarray]:
    messages, target = [], []
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8 ({error}). Save it in that encoding.") from error
    # Only a line feed ends a message: some hold other characters that `splitlines` breaks at.
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        label, tab, message = line.removesuffix("\r").partition("\t")
        if not tab or label not in TARGET_NAMES:
            raise ValueError(
                f"Line {number} of {file} is not 'ham' or 'spam', a tab and a message: "
                f"{line[:60]!r}."
            )
        messages.append(message)
        target.append(TARGET_NAMES.index(label))
    return messages, np.array(target)


def _cached_file(data_home: Any, download_if_missing: bool) -> Path:
    folder = Path(get_data_home(data_home)) / "sms_spam"
    file = folder / SMS_SPAM_FILE
    # What is there may be damaged; it is fetched again then.
    if file.exists() and _sha256(file) == SMS_SPAM_SHA256:
        return file
    if not download_if_missing:
        raise OSError(
            f"The SMS Spam Collection is not in {folder}, or not whole, and "
            "download_if_missing=False. Allow the download, or give the path of the messages file."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        os.replace(_download(Path(scratch)), file)
    return file


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _download(scratch: Path) -> Path:
    """Download into a folder that will go, and give the checked messages file in it."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Downloading the SMS Spam Collection needs pooch. Run: pip install 'skvae[datasets]'"
        ) from error
    from requests import RequestException

    archive = scratch / "archive.zip"
    messages = scratch / SMS_SPAM_FILE
    remedy = "Try again, or give the path of the messages file to fetch_sms_spam."
    try:
        pooch.HTTPDownloader(timeout=TIMEOUT)(SMS_SPAM_URL, str(archive), None)
        with zipfile.ZipFile(archive) as opened:
            messages.write_bytes(opened.read(SMS_SPAM_FILE))
    except (RequestException, zipfile.BadZipFile, zlib.error, KeyError, RuntimeError) as error:
        if isinstance(error, RequestException) and error.response is not None:
            error.response.close()
        raise OSError(
            f"The SMS Spam Collection could not be downloaded from {SMS_SPAM_URL}: {error}. "
            f"{remedy}"
        ) from error
    found = _sha256(messages)
    if found != SMS_SPAM_SHA256:
        raise OSError(
            f"What {SMS_SPAM_URL} sent is not the SMS Spam Collection: its messages have the "
            f"SHA-256 {found}, not {SMS_SPAM_SHA256}. {remedy}"
        )
    return messages


def make_messages(n_samples=1000, *, spam_fraction=0.134, random_state=None):
    """Make up text messages from a small grammar: a synthetic stand-in for real ones.

    For tests and for trying things out where there is no network. Results on these messages say
    nothing about results on real ones.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of messages.
    spam_fraction : float, default=0.134
        Share of spam, rounded to whole messages.
    random_state : int, RandomState instance or None, default=None
        Determines the messages and their order.

    Returns
    -------
    messages : list of str of length n_samples
        Synthetic messages. Words follow a long-tailed distribution: many occur once.
    target : ndarray of shape (n_samples,)
        0 for ham, 1 for spam.

    Raises
    ------
    ValueError
        If `n_samples` is not a positive integer, or `spam_fraction` lies outside [0, 1].

    Examples
    --------
    >>> from skvae.datasets import make_messages
    >>> messages, is_spam = make_messages(200, random_state=0)
    >>> len(messages), int(is_spam.sum())
    (200, 27)
    """
    if not isinstance(n_samples, (int, np.integer)) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r}.")
    if not isinstance(spam_fraction, Real) or not 0 <= float(spam_fraction) <= 1:
        raise ValueError(f"spam_fraction must lie in [0, 1], got {spam_fraction!r}.")
    rng = check_random_state(random_state)
    target = (np.arange(n_samples) < round(float(spam_fraction) * n_samples)).astype(int)
    rng.shuffle(target)
    return [spam_message(rng) if spam else ham_message(rng) for spam in target], target
