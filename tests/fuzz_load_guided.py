"""Load files that coverage leads to: ``python tests/fuzz_load_guided.py FOLDER``; Linux only.

Needs ``pip install atheris``. Holds `skvae.load` to what `fuzz_load.py` does, on files that
libFuzzer keeps in FOLDER because they reached lines that none had reached before. Other arguments
are libFuzzer's, such as ``-max_total_time=3600``. A fault ends it, and leaves the file in the
current folder. With ``--keep-refused ZIP FOLDER`` the smallest file for each kind of refusal goes
into an archive, for the tests.
"""

import random
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["skvae._file", "skvae._persistence", "skvae._torch"]):
    import skvae._file
    import skvae._persistence
    import skvae._torch.state  # noqa: F401

from fuzz_load import Guard, mutate, prepare, sign, verdict, without_details

# What a mutation of parts raises where the file has none.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def keep_refused(archive, folder, judge):
    """Write the smallest file for each kind of refusal."""
    smallest = {}
    for path in sorted(Path(folder).iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        word, message = judge(path.read_bytes())
        if word == "refused":
            smallest.setdefault(without_details(message), path)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, path in enumerate(smallest.values()):
            member = zipfile.ZipInfo(f"{number:03}.safetensors")
            file.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    print(len(smallest), "kinds of refusal")


def main():
    originals, tables = prepare()
    files = list(originals)
    guard = Guard()
    path = str(Path(tempfile.mkdtemp()) / "last.safetensors")

    def judge(data):
        return verdict(guard, path, data, originals, tables)

    def judge_one(data):
        word, message = judge(data)
        if word == "FAULT":
            raise RuntimeError(message)

    def mutator(data, max_size, seed):
        rng = random.Random(seed)
        try:
            _, found = mutate(rng, data, files)
        except UNREADABLE:
            found = atheris.Mutate(data, max_size)
            found = sign(found) if rng.random() < 0.5 else found
        return found if len(found) <= max_size else data

    if sys.argv[1] == "--keep-refused":
        keep_refused(sys.argv[2], sys.argv[3], judge)
        return
    corpus = Path(sys.argv[1])
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (corpus / f"original-{number}").write_bytes(data)
    # The limits of time and memory are those of `Guard`.
    limits = ["-timeout=0", "-rss_limit_mb=0", "-max_len=100000"]
    atheris.Setup([*sys.argv, *limits], judge_one, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
