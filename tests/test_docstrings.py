"""Docstrings of all public names: complete, in order, and with an example that is quick."""

import doctest
import importlib
import inspect
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from sklearn.base import BaseEstimator

import skvae


def find_public():
    """Public functions and classes by their full name."""
    found = {}
    for name in skvae.__all__:
        thing = getattr(skvae, name)
        members = thing.__all__ if inspect.ismodule(thing) else [None]
        for member in members:
            path = f"skvae.{name}" + (f".{member}" if member else "")
            found[path] = getattr(thing, member) if member else thing
    return found


def find_methods(path, thing):
    """Public methods that a class has from this package, by their full name."""
    if not inspect.isclass(thing):
        return {}
    return {
        f"{path}.{name}": method
        for name, method in inspect.getmembers(thing, inspect.isroutine)
        if (not name.startswith("_") or name == "__call__")
        and getattr(method, "__module__", "").startswith("skvae")
    }


PUBLIC = find_public()
METHODS = {
    name: method
    for path, thing in PUBLIC.items()
    for name, method in find_methods(path, thing).items()
}
DOCUMENTED = PUBLIC | METHODS

# What numpydoc asks for and we do otherwise, or elsewhere.
ALLOWED = {
    "GL01": "the summary stands on the line of the quotes",
    "ES01": "a summary that says all is enough",
    "SA01": "not everything has a relative",
    "SA04": "a name may explain itself",
    "EX01": "a method is shown in the example of its class",
    "SS02": "p-value begins with a small letter",
    "SS05": "numpydoc takes nouns in the plural for verbs",
    "RT02": "what is returned has a name, as in scikit-learn",
    "RT04": "a Bunch has an entry for each of its fields",
}

SECTIONS = ("Parameters", "Attributes", "Returns")

# How a number may be said to be in a unit, or to have none.
UNITS = r"\b(nats|units?|share|rate|p-value|probabilit(y|ies)|number of)\b|\[0, 1\]"


def entries(thing, *sections):
    """What is documented in some sections of a docstring."""
    doc = NumpyDocString(inspect.getdoc(thing))
    return [entry for section in sections for entry in doc[section]]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_numpydoc_finds_nothing_wrong(name):
    errors = [error for error in validate(name)["errors"] if error[0] not in ALLOWED]
    assert errors == []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_stand_in_the_order_of_the_signature_with_their_defaults(name):
    parameters = inspect.signature(DOCUMENTED[name]).parameters
    written = {}
    for entry in entries(DOCUMENTED[name], "Parameters"):
        written |= dict.fromkeys(re.split(r", ", entry.name), entry.type)
    expected = [str(p).partition(":")[0].partition("=")[0] for p in parameters.values()]
    assert list(written) == [parameter for parameter in expected if parameter != "self"]
    for key, kind in written.items():
        default = parameters[key.strip("*")].default
        if kind == "Ignored" or default is inspect.Parameter.empty:
            continue
        _, _, text = kind.rpartition("default=")
        assert text, f"{key} has no default in the docstring"
        assert text.strip('"') == str(default) or float(text) == default


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arrays_have_a_shape(name):
    for entry in entries(DOCUMENTED[name], *SECTIONS):
        if re.search(r"array|matrix", entry.type):
            assert "of shape" in entry.type, entry.name


@pytest.mark.parametrize("name", DOCUMENTED)
def test_numbers_have_a_unit(name):
    for entry in entries(DOCUMENTED[name], *SECTIONS):
        if re.search(r"\bfloat\b", entry.type):
            text = " ".join(entry.desc)
            assert re.search(UNITS, text, re.IGNORECASE), f"{entry.name}: {text}"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, thing in PUBLIC.items()
        if name.startswith("skvae.metrics.")
        or (inspect.isclass(thing) and issubclass(thing, BaseEstimator))
    ],
)
def test_methods_name_their_source(name):
    doc = NumpyDocString(inspect.getdoc(PUBLIC[name]))
    references = " ".join(doc["References"])
    assert re.search(r"\b(19|20)\d\d\b", references)
    cited = set(re.findall(r"\[(\d)\]_", inspect.getdoc(PUBLIC[name])))
    assert cited == set(re.findall(r"\.\. \[(\d)\]", references))


@pytest.mark.parametrize("name", PUBLIC)
def test_example_runs(name):
    examples = doctest.DocTestParser().get_doctest(PUBLIC[name].__doc__, {}, name, None, 0)
    assert examples.examples, "no example"
    if "Display" in name:  # these are skipped elsewhere, since they open a window
        for example in examples.examples:
            example.options.clear()
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    result = runner.run(examples, out=lambda text: None)
    plt.close("all")
    assert result.failed == 0


def test_modules_say_what_they_hold():
    for name in ("datasets", "inspection", "metrics", "text"):
        assert importlib.import_module(f"skvae.{name}").__doc__
