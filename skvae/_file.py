"""The file format: a JSON document and named arrays in one safetensors file, checked on reading.

`docs/files.md` has the format down to the last field. Nothing here knows what an estimator is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import reprlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

import numpy as np

FORMAT = 1

# How every file begins, after the eight bytes of the header's length, in any version; then follow
# the 64 digits of the SHA-256 of the whole file with 64 zeros in their place.
PREFIX = b'{"__metadata__":{"skvae":"{\\"sha256\\":\\"'
BLANK = b"0" * 64
DIGEST_START = 8 + len(PREFIX)
DIGEST_END = DIGEST_START + len(BLANK)

# Parsed JSON may take tens of times its length in memory; these keep it below 100 MB.
MAX_HEADER = 2**23
MAX_VALUES = 200_000
MAX_ARRAYS = 5_000
MAX_FIELDS = 100

# In JSON without escaped quotes.
STRING = re.compile('"[^"]*"')

# Sizes below this multiply to what 64 bits hold, in bytes.
MAX_SIZE = 2**30

# Most features, and most columns of a table that is written out when it is read: with each comes
# more memory than its share of a file.
MAX_FEATURES = 2**24
MAX_DENSE_COLUMNS = 1_000_000

# The least positive number, and the largest below 1.
SMALLEST = math.ulp(0.0)
BELOW_ONE = math.nextafter(1.0, 0.0)

DTYPES: dict[str, np.dtype] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
}


def refuse(reason: str) -> NoReturn:
    """Raise a ValueError."""
    raise ValueError(reason)


def pack(fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Bytes of a file.

    Parameters
    ----------
    fields : mapping
        What the JSON document holds after the digest.
    arrays : mapping from str to ndarray
        Arrays of the types in `DTYPES`.
    """
    from safetensors.numpy import save

    document = {"sha256": BLANK.decode()} | dict(fields)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    data = save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, {"skvae": text})
    check_head(data[:DIGEST_END], len(data))
    return b"".join([data[:DIGEST_START], digest(data), memoryview(data)[DIGEST_END:]])


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Document, without its digest and format, and arrays of a file, once it is found sound.

    Raises
    ------
    ValueError
        If the bytes are no such file, or one that was changed, damaged or made up.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    header_end = check_head(data[:DIGEST_END], len(data))
    if data[DIGEST_START:DIGEST_END] != digest(data):
        refuse("it was changed or damaged: its SHA-256 is not the one that it names")
    # `PREFIX` says that the header is an object with metadata, and the document one with a digest.
    header = parse_json(str(data[8:header_end], "ascii"), "header")
    document = parse_json(document_text(header["__metadata__"]), "document")
    del document["sha256"]
    check_format(document)
    check_entries(header, len(data) - header_end)
    try:
        return document, load(data)
    except SafetensorError as error:
        raise ValueError(f"safetensors refuses it: {error}") from error


def digest(data: bytes) -> bytes:
    """SHA-256, in hexadecimal digits, of the data with zeros in the digest's own place."""
    view, sha = memoryview(data), hashlib.sha256()
    for part in (view[:DIGEST_START], BLANK, view[DIGEST_END:]):
        sha.update(part)
    return sha.hexdigest().encode()


def check_head(head: bytes, size: int) -> int:
    """Check the first bytes of a file of `size` bytes; return where its header ends."""
    if head[8 : 8 + len(PREFIX)] != PREFIX[: max(len(head) - 8, 0)] or len(head) < 9:
        refuse("it is no file of skvae.save")
    header_end = 8 + int.from_bytes(head[:8], "little")
    if len(head) < DIGEST_END or header_end > size:
        refuse(f"it is truncated: it has {size} bytes and a header that ends at {header_end}")
    if not DIGEST_END < header_end <= 8 + MAX_HEADER:
        refuse(f"its header has {header_end - 8} bytes, where at most {MAX_HEADER} are allowed")
    return header_end


def parse_json(text: str, what: str) -> Any:
    """JSON without duplicate keys or numbers that are not finite or exceed 64 bits."""
    outside = STRING.sub("", text.replace(r"\\", "").replace(r"\"", ""))
    if sum(outside.count(character) for character in ",[{") > MAX_VALUES:
        refuse(f"its {what} holds more than {MAX_VALUES} values")
    try:
        return json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=lambda name: refuse(f"its {what} holds {name}"),
            parse_float=finite_float,
            parse_int=small_int,
        )
    except RecursionError:
        refuse(f"its {what} is nested too deeply")
    except json.JSONDecodeError as error:
        raise ValueError(f"its {what} is no JSON: {error.msg}") from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object, whose keys must differ."""
    result = dict(pairs)
    if len(result) < len(pairs):
        refuse("a JSON object has a key twice")
    return result


def finite_float(text: str) -> float:
    """Read a number that may not overflow."""
    value = float(text)
    return value if math.isfinite(value) else refuse(f"the number {shown(text)} is too large")


def small_int(text: str) -> int:
    """Read an integer that fits into 64 bits."""
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        refuse(f"the number {shown(text)} is too large")
    return int(text)


def document_text(metadata: Any) -> str:
    """Document, not yet parsed, in the metadata of a header."""
    if list(metadata) != ["skvae"] or not metadata["skvae"].isascii():
        refuse("its metadata holds more than 'skvae', or other characters than ASCII")
    return metadata["skvae"]


def check_format(document: dict[str, Any]) -> None:
    """Refuse a format that is newer than this one; take it and its writer off the document."""
    written_in, writer = document.pop("format", None), document.pop("skvae", None)
    if type(written_in) is not int or written_in < 1 or not isinstance(writer, str):
        refuse("its document does not say in which format, and by which skvae, it was written")
    if written_in > FORMAT:
        refuse(
            f"it was written by skvae {shown(writer)} in format {written_in}; this version reads "
            f"formats up to {FORMAT}. Update skvae"
        )


def check_entries(header: dict[str, Any], n_bytes: int) -> None:
    """Check what the header says of the arrays in `n_bytes` of data, before memory is taken."""
    if len(header) > MAX_ARRAYS:
        refuse(f"its header names {len(header)} arrays, where at most {MAX_ARRAYS} are allowed")
    spans = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            refuse(f"array {shown(name)} has no dtype, shape and data_offsets, or more than these")
        dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            refuse(f"array {shown(name)} has the dtype {shown(dtype)}, not one of {list(DTYPES)}")
        if not is_sizes(shape, n_bytes) or len(shape) > 2:
            refuse(f"array {shown(name)} has the shape {shown(shape)}, in {n_bytes} bytes of data")
        if not is_sizes(span, n_bytes) or len(span) != 2:
            refuse(f"array {shown(name)} has the data_offsets {shown(span)}")
        if span[1] - span[0] != math.prod(shape) * DTYPES[dtype].itemsize:
            refuse(f"array {shown(name)} has a shape that does not fit its data_offsets")
        spans.append(span)
    spans.sort()
    if [0, *(end for _, end in spans)] != [*(start for start, _ in spans), n_bytes]:
        refuse("its arrays overlap, or do not fill the file")


def is_sizes(value: Any, largest: int) -> bool:
    """Whether a parsed value is a list of integers from 0 to the largest."""
    return isinstance(value, list) and all(type(v) is int and 0 <= v <= largest for v in value)


def shown(value: Any) -> str:
    """Write a value from a file, whatever its length, for a message."""
    return reprlib.repr(value)


class Node:
    """One object of a document, with the arrays that belong to it: hands out checked values.

    Whoever has read a document asks `check_all_read` whether it held anything else.

    Parameters
    ----------
    value : Any
        The parsed object.
    name : str
        Its place in the document, "" for the outermost.
    arrays : dict from str to ndarray
        Arrays by name: those of this object begin with its name and a dot. What is read is taken
        out.
    unread : set of str, default=None
        Names of the fields of the document that were not read yet; None for the outermost.
    """

    def __init__(
        self,
        value: Any,
        name: str,
        arrays: dict[str, np.ndarray],
        unread: set[str] | None = None,
    ):
        if not isinstance(value, dict):
            refuse(f"{name or 'its document'} is {shown(value)}, not an object")
        if len(value) > MAX_FIELDS:
            refuse(f"{name or 'its document'} has {len(value)} fields")
        self.fields: dict[str, Any] = value
        self.name = name
        self.arrays = arrays
        self.unread: set[str] = set() if unread is None else unread
        self.unread |= {self.place(key) for key in value}

    def place(self, key: str) -> str:
        """Name of a field or array in the whole document."""
        return f"{self.name}.{key}" if self.name else key

    def value(self, key: str) -> Any:
        """Field, unchecked."""
        if key not in self.fields:
            refuse(f"{self.place(key)} is missing")
        self.unread.discard(self.place(key))
        return self.fields[key]

    def wrong(self, key: str, allowed: str) -> NoReturn:
        """Refuse the value of a field."""
        refuse(f"{self.place(key)} is {shown(self.fields[key])}, not {allowed}")

    def integer(self, key: str, low: int, high: int) -> int:
        """Read an integer from `low` to `high`."""
        value = self.value(key)
        if type(value) is not int or not low <= value <= high:
            self.wrong(key, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Read a number from `low` to `high`."""
        value = self.value(key)
        if type(value) not in (int, float) or not low <= value <= high:
            self.wrong(key, f"a number from {low} to {high}")
        return float(value)

    def choice(self, key: str, options: Sequence[Any]) -> Any:
        """Read one of the options."""
        value = self.value(key)
        if not any(type(value) is type(option) and value == option for option in options):
            self.wrong(key, f"one of {shown(list(options))}")
        return value

    def sizes(self, key: str, max_length: int) -> list[int]:
        """Read a list of integers from 1 to `MAX_SIZE`."""
        value = self.value(key)
        if not is_sizes(value, MAX_SIZE) or 0 in value or len(value) > max_length:
            self.wrong(key, f"a list of at most {max_length} integers from 1 to {MAX_SIZE}")
        return value

    def child(self, key: str) -> Node:
        """Read an object."""
        return Node(self.value(key), self.place(key), self.arrays, self.unread)

    def children(self, key: str) -> list[Node]:
        """Read a list of objects."""
        values = self.value(key)
        if not isinstance(values, list):
            self.wrong(key, "a list")
        return [
            Node(value, f"{self.place(key)}.{i}", self.arrays, self.unread)
            for i, value in enumerate(values)
        ]

    def array(
        self,
        key: str,
        dtype: type,
        shape: Sequence[int | None],
        low: float = -math.inf,
        high: float = math.inf,
    ) -> np.ndarray:
        """Read an array of this type and shape (None for any size) of finite values in between."""
        place = self.place(key)
        if place not in self.arrays:
            refuse(f"array {place} is missing")
        array = self.arrays.pop(place)
        fits = len(shape) == array.ndim and all(
            wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            expected = f"{np.dtype(dtype)} and {tuple(shape)}"
            refuse(f"array {place} has {array.dtype} and {array.shape}, not {expected}")
        if array.size:
            # Both are NaN if any value is: no mask of the array's size is made.
            smallest, largest = float(array.min()), float(array.max())
            if not (math.isfinite(smallest) and math.isfinite(largest)):
                refuse(f"array {place} holds values that are not finite")
            if not low <= smallest <= largest <= high:
                refuse(f"array {place} holds values that are not from {low} to {high}")
        return array

    def check_all_read(self) -> None:
        """Refuse a document that holds more than was read from it."""
        rest = sorted([*self.unread, *self.arrays])
        if rest:
            refuse(f"it holds {shown(rest[0])}, which nothing reads")


def read(path: Any) -> bytes:
    """Bytes of a file; refused by its first ones, if they are wrong, before memory is taken."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        check_head(file.read(DIGEST_END), size)
        file.seek(0)
        return file.read(size)


@contextlib.contextmanager
def replaced(path: Any) -> Iterator[BinaryIO]:
    """Write a file at once: whatever happens, the old one is there or the whole new one."""
    given, path = path, os.path.realpath(path)
    folder = os.path.dirname(path)
    if not os.path.basename(given) or os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "A folder cannot be written as a file", str(given))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "There is no folder to write to", str(given))
    scratch = os.path.join(folder, f".skvae-{secrets.token_hex(8)}.tmp")
    try:
        with open(scratch, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(scratch, os.stat(path).st_mode & 0o777)
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(scratch)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
