"""Load mutated files: ``python tests/fuzz_load.py --count 1000000``; Linux only.

Files of `tests/fixtures` are changed in their bytes, and, with the digest set right so that the
checks behind it are reached, in their header, their document and their arrays. Each must be refused
with a ValueError, or give an estimator that scores, and scores as the original does if it means the
same: if it would be saved as the same file. Meanwhile no module is imported, nothing is compiled or
executed, no other file opened, no process started, no warning given, and no more memory taken than
100 MB and twice the size of the file. A crash leaves the file in the folder `--keep`.
"""

import argparse
import collections
import contextlib
import copy
import json
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import skvae
from skvae._file import DIGEST_END, DIGEST_START, digest
from skvae._persistence import to_bytes

FOLDER = Path(__file__).parent / "fixtures" / "format_1"

MAX_SECONDS = 20
MARGIN = 100 * 2**20

# Values to put into documents and headers, as JSON texts.
HOSTILE = [
    *("null", "true", "false", "0", "-0", "-1", "1", "2", "3", "0.5", "-0.0", "1e308", "1e999"),
    *("NaN", "Infinity", "-Infinity", "4294967296", "1073741825", "9223372036854775807", "9" * 400),
    *("9" * 5000, "18446744073709551616", "1000000000000", "1E2", "5e-324", "[]", "{}", "[[]]"),
    *(
        '""',
        '"\\u0000"',
        '"\\ud800"',
        '"../../etc/passwd"',
        '"__reduce__"',
        '"os.system"',
        '"auto"',
    ),
    *('"VAEDensityEstimator"', '"FrozenEstimator"', '"gaussian"', '"F64"', '"I64"', '"BF16"'),
    *("[0, 1000000000000]", "[-1]", "[1, 2, 3]", '["a"]', "[[1]]", '{"a": 1}', '{"": null}'),
    *("[" * 500 + "]" * 500, "[" * 100_000, '{"a":' * 3000, "[" + "[]," * 3000 + "0]", "'x'", ""),
]

# Numbers to put into arrays.
SPECIAL = [0.0, -0.0, -1.0, 1.0, 0.5, 2.0, 1e-45, 3e38, 1e300, np.nan, np.inf, -np.inf, 1e9]

FORBIDDEN = ("import", "exec", "compile", "subprocess", "os.", "ctypes", "marshal", "pickle")


def parts(data):
    """Header, without its metadata, document and arrays of a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    return header, json.loads(header.pop("__metadata__")["skvae"]), data[end:]


def build(header, document, body):
    """Make a file of a header and a document, as JSON texts with a right digest, and arrays."""
    text = json.dumps(document if isinstance(document, str) else dumps(document))
    entries = header if isinstance(header, str) else dumps(header)
    whole = f'{{"__metadata__":{{"skvae":{text}}},{entries.strip()[1:]}'.encode()
    whole += b" " * (-len(whole) % 8)
    return sign(struct.pack("<Q", len(whole)) + whole + body)


def sign(data):
    """Set the digest right."""
    return data[:DIGEST_START] + digest(data) + data[DIGEST_END:]


class Verbatim(float):
    """Some text that JSON is written with as it is."""

    def __new__(cls, text):
        value = super().__new__(cls, 1.5)
        value.text = text
        return value


def dumps(value):
    """JSON of a value, with `Verbatim` texts in it."""
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


def places(value):
    """Every object or list in a parsed JSON value, with each of its keys."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        if key != "sha256":
            found.append((value, key))
        if isinstance(child, dict | list):
            found += places(child)
    return found


def change_json(rng, value):
    """Change a parsed JSON value in one place, in place."""
    found = places(value)
    owner, key = rng.choice(found)
    action = rng.randrange(7)
    if action <= 2:
        owner[key] = Verbatim(rng.choice(HOSTILE))
    elif action == 3:
        other, other_key = rng.choice(found)
        # Copies, for one may hold the other.
        values = copy.deepcopy((other[other_key], owner[key]))
        owner[key], other[other_key] = values
    elif action == 4:
        del owner[key]
    elif action == 5 and type(owner[key]) in (int, float):
        owner[key] += rng.choice([-1, 1, 0.5, 2**31, -0.001])
    elif isinstance(owner, dict):
        name = rng.choice([key + "x", "x", "", "params", "estimator", "class", "\u20ac"])
        owner[name] = owner.pop(key) if rng.random() < 0.5 else owner[key]
    else:
        owner.insert(key, owner[key])


def change_bytes(rng, data, others):
    """Change some bytes."""
    data = bytearray(data)
    start = rng.randrange(len(data)) if data else 0
    end = min(len(data), start + rng.choice([1, 1, 1, 2, 8, 64, 500]))
    action = rng.randrange(8)
    if action <= 1 and data:
        data[start] ^= 1 << rng.randrange(8)
    elif action == 2:
        data[start:end] = rng.randbytes(end - start)
    elif action == 3:
        del data[start:end]
    elif action == 4:
        data[start:start] = rng.randbytes(end - start)
    elif action == 5:
        data[start:start] = data[start:end]
    elif action == 6:
        del data[start:]
    else:
        other = rng.choice(others)
        data[start:end] = other[start : start + rng.randrange(64)]
    return bytes(data)


def change_numbers(rng, header, body):
    """Put special values into an array, or flip a bit of it."""
    entry = rng.choice(list(header.values()))
    start, end = entry["data_offsets"]
    kind = {"F32": "f4", "F64": "f8", "I64": "i8"}[entry["dtype"]]
    array = np.frombuffer(body[start:end], kind).copy()
    if array.size == 0:
        return body
    place = rng.randrange(array.size)
    action = rng.randrange(4)
    if action == 0:
        raw = array.view(np.uint8)
        raw[rng.randrange(raw.size)] ^= 1 << rng.randrange(8)
    elif action == 1:
        array[place] = array[rng.randrange(array.size)]
    elif kind == "i8":
        array[place] = rng.choice([-1, 0, 1, 2, 2**40, 2**63 - 1, -(2**63)])
    else:
        with np.errstate(over="ignore"):
            array[place] = rng.choice(SPECIAL)
    return body[:start] + array.tobytes() + body[end:]


def change_entries(rng, header, body):
    """Change what the header says of an array, and perhaps its bytes with it."""
    name = rng.choice(list(header))
    entry = header[name]
    action = rng.randrange(6)
    if action == 0:
        entry["dtype"] = rng.choice(["F32", "F64", "I64", "I32", "BF16", "BOOL", "U8", "F4", "X"])
    elif action == 1:
        entry["shape"] = [*entry["shape"][::-1], *rng.choice([[], [1], [0], [2**62, 4]])]
    elif action == 2:
        size = rng.choice([0, 1, 2, 7, 2**20, 2**31, 2**63 - 1, 10**12])
        entry["shape"][rng.randrange(len(entry["shape"]))] = size
    elif action == 3:
        entry["data_offsets"][rng.randrange(2)] += rng.choice([-8, -4, -1, 1, 4, 8, 2**62])
    elif action == 4:
        entry["data_offsets"] = rng.choice(list(header.values()))["data_offsets"]
    else:  # a consistent entry of another length
        other = rng.choice([3, 8, 40])
        header[rng.choice([name, "more", "../more"])] = {
            "dtype": "F64",
            "shape": [other],
            "data_offsets": [len(body), len(body) + 8 * other],
        }
        body += struct.pack("<d", 0.5) * other
    return body


def mutate(rng, data, others):
    """Name of a mutation, and the mutated file."""
    kind = rng.choice(["bytes", "bytes", "signed bytes", "text", *["parts"] * 6])
    if kind == "bytes":
        return kind, change_bytes(rng, data, others)
    if kind == "signed bytes":
        return kind, sign(change_bytes(rng, data, others))
    header, document, body = parts(data)
    if kind == "text":
        text, entries = dumps(document), dumps(header)
        alphabet = '{}[]",:\\0123456789eE+-.truefalsn \t\n\x00\u20ac'
        for _ in range(rng.choice([1, 1, 2, 5])):
            start = rng.randrange(80, len(text))
            text = text[:start] + rng.choice([*alphabet, ""]) + text[start + rng.randrange(2) :]
        if rng.random() < 0.3:
            entries = re.sub('("[a-z_]+"):', r"\1:0,\1:", entries, count=1)
        return kind, build(entries, text, body)
    changes = set(
        rng.choices(["numbers", "entries", "header", "document"], k=rng.choice([1, 1, 2]))
    )
    if "numbers" in changes:
        body = change_numbers(rng, header, body)
    if "entries" in changes:
        body = change_entries(rng, header, body)
    if "header" in changes:
        change_json(rng, header)
    if "document" in changes:
        change_json(rng, document)
    return "+".join(sorted(changes)), build(header, document, body)


def large_files(data):
    """Files whose content takes many times its length in memory, if it is read without care."""
    numbers = {f"{i:x}": i + 0.5 for i in range(190_000)}
    texts = [f"{i:x}\U0001f600" for i in range(190_000)]
    for value in (numbers, texts, [[] for _ in range(190_000)], "\U0001f600" + "x" * 3_500_000):
        header, document, body = parts(data)
        document["estimator"]["more"] = value
        yield build(header, document, body)
        header, document, body = parts(data)
        header["more"] = value
        yield build(header, document, body)
    header, document, body = parts(data)
    header |= {
        f"more{i}": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]} for i in range(4900)
    }
    yield build(header, document, body)
    wide = (np.random.RandomState(0).uniform(size=(50, 2000)) < 0.1).astype(float)
    density = skvae.VAEDensityEstimator(1, hidden_layer_sizes=(), max_iter=1, random_state=0)
    yield to_bytes(density.fit(wide))


class Guard:
    """What a load may not do: armed while one runs."""

    def __init__(self):
        self.armed_for = None
        self.violations = []
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if self.armed_for is None:
            return
        if event == "open":
            path, mode, _ = arguments
            allowed = path == self.armed_for and mode in ("r", "rb")
        else:
            allowed = not event.startswith(FORBIDDEN)
        if not allowed:
            self.violations.append(f"{event} {arguments!r:.200}")
            raise RuntimeError(f"{event} while loading")

    def load(self, path, size):
        """Load a file with an eye on what happens."""
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        self.violations.clear()
        signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (used + MARGIN + 2 * size, unlimited[1]))
        self.armed_for = path
        try:
            return skvae.load(path)
        finally:
            self.armed_for = None
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self.violations:
                raise AssertionError(self.violations[0])


def calm(model):
    """Keep a model from taking as long to score as its parameters say."""
    while not hasattr(model, "_model"):
        inner = [getattr(model, name, None) for name in ("density_", "estimator_", "estimator")]
        if isinstance(model, skvae.VAEImputer):
            model.n_importance_samples = min(model.n_importance_samples, 16)
        model = next(found for found in inner if found is not None)
    for name, most in {"n_importance_samples": 16, "n_refinement_steps": 2}.items():
        if getattr(model, name, "auto") != "auto":
            setattr(model, name, min(getattr(model, name), most))


def outcome(model, tables):
    """Scores of some rows, or the refusal to give any."""
    method = next(
        getattr(model, name)
        for name in ("predict_proba", "score_samples", "reconstruction_error", "transform")
        if hasattr(model, name)
    )
    n_features = model.n_features_in_
    X = tables.get(n_features, sp.csr_matrix((2, n_features)))
    if isinstance(model, skvae.VAEImputer) and sp.issparse(X):
        X = np.full((2, n_features), np.nan)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return np.asarray(method(X))
    except ValueError as error:
        return str(error)


def verdict(guard, path, data, originals, tables):
    """What became of a mutated file: a word, and a message for a refusal or a fault.

    `originals` has the scores of each unchanged file.
    """
    Path(path).write_bytes(data)
    try:
        model = guard.load(path, len(data))
    except ValueError as error:
        return "refused", str(error).split(": ", 1)[1]
    except Exception as error:
        return "FAULT", f"load: {error!r:.300}"
    if sign(data) != data:
        return "FAULT", "loaded with a wrong digest"
    try:
        again = to_bytes(model)
        calm(model)
        scores = outcome(model, tables)
    except Exception as error:
        return "FAULT", f"after loading: {error!r:.300}"
    if again not in originals:
        return "another model", ""
    if isinstance(scores, str) or not np.array_equal(scores, originals[again]):
        return "FAULT", "the same model with other scores"
    return "the same model", ""


def prepare():
    """Scores of each unchanged file, and the rows that they are of."""

    def too_long(*_):
        raise TimeoutError(f"more than {MAX_SECONDS} seconds")

    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, too_long)
    values = np.random.RandomState(0)
    tables = {n: values.randint(2, size=(3, n)).astype(float) for n in range(1, 20)}
    originals = {}
    for source in sorted(FOLDER.glob("*.safetensors")):
        model = skvae.load(source)  # which imports what is needed
        originals[to_bytes(model)] = outcome(model, tables)
    return originals, tables


def without_details(message):
    """Give the beginning of a refusal, by which those of one check are known."""
    return re.sub(r"[\d'\"].*", "...", message, flags=re.DOTALL)


def main():
    """Count what became of the mutated files; 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder for files with a fault")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    keep = options.keep or Path(tempfile.mkdtemp())
    keep.mkdir(exist_ok=True)
    path = str(keep / "last.safetensors")
    originals, tables = prepare()
    files = list(originals)
    guard = Guard()
    kinds, reasons, faults = (collections.Counter() for _ in range(3))
    large = list(large_files(files[0]))
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it early, with the counts so far
        for i in range(-len(large), options.count):
            kind, data = ("large", large.pop()) if i < 0 else mutate(rng, rng.choice(files), files)
            word, message = verdict(guard, path, data, originals, tables)
            kinds[kind, word] += 1
            if word == "refused":
                reasons[without_details(message)] += 1
            if word == "FAULT":
                faults[message] += 1
                (keep / f"fault-{i}.safetensors").write_bytes(data)
            if i > 0 and i % 20_000 == 0:
                print(i, "files,", sum(faults.values()), "faults", flush=True)
    for (kind, word), count in sorted(kinds.items()):
        print(f"{count:9} {kind}: {word}")
    for message, count in reasons.most_common(40):
        print(f"{count:9} {message}")
    for message, count in faults.most_common():
        print(f"{count:9} FAULT {message}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
