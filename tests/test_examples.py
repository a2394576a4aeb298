"""Examples run, and show what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skvae.datasets import make_messages

ROOT = Path(__file__).parent.parent


def run_example(name, folder, *arguments):
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    environment.pop("DISPLAY", None)  # with one, matplotlib warns that Agg shows nothing
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_digits_come_back_better_than_from_pca(tmp_path):
    printed = run_example("plot_digits_autoencoder.py", tmp_path)
    errors = dict(re.findall(r"(\w+) +held-out reconstruction error ([\d.]+)", printed))
    assert float(errors["autoencoder"]) < float(errors["PCA"])


def test_calibrated_probabilities_come_true_more_than_ranks(tmp_path):
    printed = run_example("plot_calibrated_probabilities.py", tmp_path)
    lines = re.findall(r"^(.+?) +Brier score ([\d.]+)$", printed, re.MULTILINE)
    brier = {name: float(score) for name, score in lines}
    best = min(brier.values())
    assert best + 0.02 < brier["ranks of the scores"] < brier["share of outliers"]
    for method in ("sigmoid", "isotonic"):
        assert brier[f"calibrated, {method}"] < best + 0.005


def figures_of(printed, name):
    """Numbers in the line that begins with a name."""
    (line,) = re.findall(rf"^ *{re.escape(name)} (.*)$", printed, re.MULTILINE)
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line)]


def test_a_sample_of_zeros_gives_the_bound_of_all(tmp_path):
    printed = run_example("plot_large_vocabulary.py", tmp_path)
    (independent,) = figures_of(printed, "independent words")
    (every,) = figures_of(printed, "all zeros")
    (sampled,) = figures_of(printed, "3000 zeros a step")
    assert every > independent + 4
    assert sampled > every - 0.1 * (every - independent)


def test_density_of_the_plane_is_near_those_of_scikit_learn(tmp_path):
    printed = run_example("plot_density_2d.py", tmp_path)
    (kernels,) = figures_of(printed, "KernelDensity")
    (mixture,) = figures_of(printed, "GaussianMixture")
    (trained,) = figures_of(printed, "VAE, 30 draws")
    assert trained > max(kernels, mixture) - 0.15
    assert figures_of(printed, "VAE, defaults")[0] < trained


def test_density_of_digits_is_above_its_baselines(tmp_path):
    printed = run_example("plot_digits_latent_plane.py", tmp_path)
    names = ["each pixel alone", "eight groups", "VAE, 2 latent dimensions"]
    alone, groups, plane = (figures_of(printed, name)[0] for name in names)
    assert figures_of(printed, "VAE, 8 latent dimensions")[0] > max(alone, groups, plane) + 1
    assert plane > alone


def test_mixed_table_is_ranked_better_than_by_the_baselines(tmp_path):
    printed = run_example("plot_mixed_table.py", tmp_path)
    auc, precision = figures_of(printed, "VAE")
    for baseline in ("each column alone", "isolation forest", "nearest neighbours (LOF)"):
        assert figures_of(printed, baseline) < [auc, precision]
        assert figures_of(printed, baseline)[1] < precision
    assert printed.count("changed; because of") == 3


def test_novelties_are_easier_than_outliers(tmp_path):
    printed = run_example("plot_novelty_or_outliers.py", tmp_path)
    novelty, outliers = figures_of(printed, "VAE, inliers"), figures_of(printed, "VAE, all")
    assert novelty[0] > figures_of(printed, "forest, inliers")[0]
    assert novelty[-1] - 0.1 > outliers[-1]
    assert figures_of(printed, "forest, all")[-1] > outliers[-1]


def test_false_discoveries_stay_near_their_level(tmp_path):
    printed = run_example("plot_threshold_and_fdr.py", tmp_path)
    alarms, _, f1 = re.split(r"^share of outliers found|^F1", printed, flags=re.MULTILINE)
    assert max(figures_of(alarms, "false discoveries at most 0.1")[1:]) < 0.25
    assert figures_of(alarms, "p-value at most 0.05")[1] > 0.6
    assert figures_of(f1, "tuned by F1")[2] > figures_of(f1, "contamination=0.1, a guess")[2]


def test_tables_of_text_differ_as_the_example_says(tmp_path):
    printed = run_example("plot_text_features.py", tmp_path)
    rows = re.findall(r"^.*(?:all|inliers) ", printed, re.MULTILINE)
    f1 = {row: figures_of(printed, row)[5] for row in rows}
    assert f1["binary words     all "] > f1["word counts      all "] + 0.1
    assert f1["character counts inliers "] > f1["binary words     inliers "] + 0.3


def test_main_job_reads_a_file(tmp_path):
    messages, y = make_messages(300, random_state=0)
    lines = [f"{('ham', 'spam')[label]}\t{text}" for text, label in zip(messages, y, strict=True)]
    (tmp_path / "messages.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    printed = run_example("plot_sms_spam.py", tmp_path, "--data", "messages.txt")
    assert "300 messages, 40 of them spam" in printed
    assert len(re.findall(r"^(?:spam|ham ) +-\d+\.\d", printed, re.MULTILINE)) == 10
    assert (tmp_path / "sms_spam.png").stat().st_size > 10_000


def test_main_job_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AssertionError, match="No such file"):
        run_example("plot_sms_spam.py", tmp_path, "--data", "nothing.txt")
