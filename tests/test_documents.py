"""README, docs and examples: their code runs and the files they name exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skvae.datasets import make_messages

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if code_blocks(p, "python")], ids=lambda p: p.name
)
def test_python_blocks_run_one_after_the_other(page):
    namespace = {}
    for block in code_blocks(page, "python"):
        exec(compile(block, page.name, "exec"), namespace)
    assert namespace


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_files_named_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [target for target in named if not (page.parent / target).exists()]
    paths = re.findall(r"`((?:docs|tests|examples|benchmarks|skvae)/[\w/.]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []


def test_ci_runs_the_test_command_of_the_readme():
    install, test = code_blocks(ROOT / "README.md", "console")[1].strip().split(" && ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert install in script
    assert test in script


def run_example(name, folder, *arguments):
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
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
    assert (tmp_path / "calibrated_probabilities.png").stat().st_size > 10_000


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
