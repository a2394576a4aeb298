"""README and docs: their code runs and the files they name exist."""

import importlib
import re
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import skvae

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
