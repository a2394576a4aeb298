"""How Sphinx builds the site; what is more than a setting stands in `_extensions`."""

import sys
import warnings
from pathlib import Path

import skvae
from skvae._compat import DOCUMENTATION_URL

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "_extensions"))

# Figures and examples are held to what the tests are: nothing may warn.
warnings.filterwarnings("error", module="skvae")

project = "skvae"
author = "The skvae developers"
copyright = author
version = release = skvae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_gallery.gen_gallery",
    "skvae_site",
]
# Every reference must lead somewhere, except into libraries: their sites are not at hand when
# this one is built without a network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|numpy|scipy|matplotlib)\..*")]
exclude_patterns = ["_*", "figures", "generated/backreferences"]
templates_path = ["_templates"]
default_role = "literal"

# Mathematics becomes MathML, which browsers draw by themselves.
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

plot_formats = [("png", 110)]
plot_html_show_formats = False
plot_html_show_source_link = True
plot_rcparams = {"figure.constrained_layout.use": True, "font.size": 9}
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "skvae_site.gallery_order",
    "reset_argv": "skvae_site.example_arguments",
    "reset_modules_order": "both",
    "doc_module": ("skvae",),
    "backreferences_dir": "generated/backreferences",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skvae"
html_baseurl = DOCUMENTATION_URL
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["skvae.css"]
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "skvae"},
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"getting_started": [], "api": ["sidebar-nav-bs"]}
