"""What the site needs beyond settings: links, mathematics, and the order of the gallery."""

import html
import importlib
import inspect
import os
import re
import tempfile
from operator import attrgetter
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.addnodes import pending_xref
from sphinx.util import logging

import skvae

logger = logging.getLogger(__name__)

# The gallery's order: from the first use to the special ones.
EXAMPLES = [
    "plot_sms_spam.py",
    "plot_text_features.py",
    "plot_density_2d.py",
    "plot_digits_autoencoder.py",
    "plot_digits_latent_plane.py",
    "plot_mixed_table.py",
    "plot_novelty_or_outliers.py",
    "plot_threshold_and_fdr.py",
    "plot_calibrated_probabilities.py",
]

MODULES = ("datasets", "inspection", "metrics", "text")


def gallery_order(filename):
    """Place of an example in the gallery; a new one comes last."""
    known = filename in EXAMPLES
    return (EXAMPLES.index(filename) if known else len(EXAMPLES), filename)


def example_arguments(gallery_conf, script_vars):
    """Command-line arguments of an example: the real corpus where it lies at hand."""
    name = Path(script_vars["src_file"]).name
    arguments = []
    if name == "plot_sms_spam.py":
        arguments = ["--figure", os.path.join(tempfile.gettempdir(), "sms_spam.png")]
    corpus = Path(os.environ.get("SKVAE_SHARED", ""), "data", "SMSSpamCollection")
    if name in ("plot_sms_spam.py", "plot_text_features.py") and corpus.is_file():
        arguments += ["--data", str(corpus)]
    return arguments


def public_names():
    """Full names of all that is public, by each way to write them in prose."""
    names = {}
    for name in skvae.__all__:
        names[f"skvae.{name}"] = f"skvae.{name}"
        if name not in MODULES:
            names[name] = f"skvae.{name}"
    for module in MODULES:
        for name in importlib.import_module(f"skvae.{module}").__all__:
            names[name] = names[f"skvae.{module}.{name}"] = f"skvae.{module}.{name}"
    for name, target in list(names.items()):
        thing = attrgetter(target.removeprefix("skvae."))(skvae)
        if inspect.isclass(thing):
            for method in (method for method in dir(thing) if not method.startswith("_")):
                names[f"{name}.{method}"] = f"{target}.{method}"
    return names


def as_rst(plot):
    """Write a figure, a script and its caption, as reStructuredText, which matplotlib needs."""
    script, alt, caption = plot.groups()
    lines = [f".. plot:: {script}", f"   :alt: {alt}", "", *caption.strip().split("\n")]
    lines[3:] = [f"   {line}" for line in lines[3:]]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def read_page(app, docname, source):
    """Let links to files of the repository lead to their pages on the site, and draw figures."""
    plot = r"```\{plot\} (\S+)\n:alt: (.+)\n((?:.+\n)+?)```"
    source[0] = re.sub(plot, as_rst, source[0])
    text = re.sub(r"\]\((\.\./)*examples/(plot_\w+)\.py\)", r"](/auto_examples/\2.rst)", source[0])
    text = re.sub(r"\]\((\.\./)*examples/\)", "](/auto_examples/index.rst)", text)
    text = re.sub(r"\]\((\.\./)*CHANGELOG\.md\)", "](/changelog.md)", text)
    text = re.sub(r"\]\((\.\./)*CONTRIBUTING\.md\)", "](/contributing.md)", text)
    source[0] = text


def link_names(app, doctree):
    """Make a reference of every public name that stands in code type."""
    names = public_names()
    for literal in list(doctree.findall(nodes.literal)):
        target = names.get(literal.astext())
        inside = literal.parent
        if target is None or isinstance(inside, (nodes.reference, pending_xref, nodes.title)):
            continue
        kind = "mod" if target.rpartition(".")[2] in MODULES else "obj"
        xref = pending_xref(
            "", refdomain="py", reftype=kind, reftarget=target, refexplicit=True, refwarn=True
        )
        inside.replace(literal, xref)
        xref += literal


def plain_docstrings(app, what, name, obj, options, lines):
    """Take references into scikit-learn's user guide out of docstrings that come from there.

    And keep the initials of an author from being taken for the number of a list.
    """
    text = "\n".join(lines)
    text = re.sub(r"^(\s*\.\. \[[^\]]+\] )(?=[A-Z]\. )", r"\1\\", text, flags=re.MULTILINE)
    text = re.sub(r":(?:ref|term|func|class|meth):`([^`<]+?)\s*<[^`>]+>`", r"\1", text)
    text = re.sub(r":(?:ref|term):`([^`]+)`", r"\1", text)
    lines[:] = text.split("\n")


def visit_math(self, node):
    """Write a formula in a line as MathML."""
    self.body.append(mathml(node))
    raise nodes.SkipNode


def visit_math_block(self, node):
    """Write a formula of its own as MathML."""
    self.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def mathml(node, as_block=False):
    """Turn TeX into MathML; warn of a formula that cannot be, and leave it as it is."""
    formula = node.astext()
    try:
        written = latex2mathml.tex2mathml(formula, as_block=as_block)
    except MathError as error:
        logger.warning("%s in the formula %s", error, formula, location=node)
        return html.escape(formula)
    # Browsers leave no room between the name of a function and what it is of.
    return written.replace("<mo>&ApplyFunction;</mo>", '<mspace width="0.17em"/>')


def setup(app):
    """Register it all."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("source-read", read_page)
    app.connect("doctree-read", link_names)
    app.connect("autodoc-process-docstring", plain_docstrings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
