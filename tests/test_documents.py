"""README, docs and examples: their code runs and the files they name exist."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import skvae
from skvae.datasets import make_messages

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]


def code_blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if code_blocks(p, "python")], ids=name_of)
def test_python_blocks_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What torchrun sets for the only process of a group; port 0 is any that is free.
    torchrun = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    namespace = {}
    for block in code_blocks(page, "python"):
        exec(compile(block, page.name, "exec"), namespace)
    plt.close("all")
    assert namespace.keys() > {"__builtins__"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_code_block_is_of_a_kind_that_is_checked(page):
    text = page.read_text(encoding="utf-8")
    kinds = set(re.findall(r"^```(\S*)\n(?:(?!```).*\n)*?```$", text, re.MULTILINE))
    assert kinds <= {"python", "console", "{eval-rst}", "{toctree}"}
    directives = set(re.findall(r"^```(\{\S+\})", text, re.MULTILINE))
    assert directives <= {"{eval-rst}", "{include}", "{plot}", "{toctree}"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_files_named_exist(page):
    # Formulas hold brackets that are no links.
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [target for target in named if not (page.parent / target).exists()]
    paths = re.findall(r"`((?:docs|tests|examples|benchmarks|skvae)/[\w/.]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    figures = re.findall(r"^```\{plot\} (\S+)$", text, re.MULTILINE)
    missing += [figure for figure in figures if not (ROOT / "docs" / figure).exists()]
    assert missing == []


def test_every_page_and_figure_of_the_site_is_used():
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS)
    entries = " ".join(re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL))
    in_a_tree = {Path(entry.strip("<>")).name for entry in entries.split()}
    assert {page.stem for page in DOCS if page != ROOT / "docs" / "index.md"} <= in_a_tree
    figures = {path.name for path in (ROOT / "docs" / "figures").glob("*.py")}
    assert figures == set(re.findall(r"```\{plot\} figures/(\S+)", text))


def test_the_reference_lists_all_public_names():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ([\w.]+)$", page, re.MULTILINE))
    public = set()
    for name in skvae.__all__:
        if hasattr(getattr(skvae, name), "__path__") or (ROOT / "skvae" / f"{name}.py").exists():
            module = importlib.import_module(f"skvae.{name}")
            public |= {f"{name}.{member}" for member in module.__all__}
        else:
            public.add(name)
    assert listed == public


def test_tables_of_the_comparison_are_extracts_of_other_pages():
    others = {
        line for page in DOCS if page.name != "compare.md" for line in page.read_text().split("\n")
    }
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    rows = [line for line in page.split("\n") if re.match(r"\|.*\d\.\d", line)]
    assert rows
    assert [row for row in rows if row not in others] == []


def test_diagrams_link_estimators_to_their_page():
    page = skvae.VAEOutlierDetector()._get_doc_link()
    assert page.endswith("/generated/skvae.VAEOutlierDetector.html")
    assert page in skvae.VAEOutlierDetector()._repr_html_()
    wrapped = skvae.OutlierClassifier(skvae.VAEOutlierDetector())._repr_html_()
    assert page in wrapped
    assert page.replace("VAEOutlierDetector", "OutlierClassifier") in wrapped
    assert type("Mine", (skvae.VAEImputer,), {"__module__": "mine"})()._get_doc_link() == ""


def test_ci_runs_the_commands_of_the_readme():
    _, tests, docs = code_blocks(ROOT / "README.md", "console")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in tests.strip().split(" && "):
        assert command in script
    install, build = docs.strip().split(" && ")
    assert install in script
    assert build.removesuffix(" docs build/docs") in script


def test_lower_bounds_are_the_versions_that_the_oldest_suite_runs():
    requirement = r'"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)"'
    bounds = re.findall(requirement, (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8")
    oldest = dict(re.findall(r"^([\w-]+)==([\d.]+)$", pins, re.MULTILINE))
    bounded = [(name, bound) for name, bound in bounds if name in oldest]
    assert {name for name, _ in bounded} >= oldest.keys() - {"distributed", "pyparsing"}
    for name, bound in bounded:
        assert f"{oldest[name]}.".startswith(f"{bound}."), name


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
