"""The site of `make docs`: the pages of this folder, the README in front, and the reference from the docstrings."""

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "UCR benchmark"
author = "The UCR benchmark maintainers"
copyright = f"2026, {author}"
release = metadata.version("ucr-benchmark")

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["api/*/modules.rst"]

myst_heading_anchors = 3
apidoc_modules = [
    {
        "path": "../ucr",
        "destination": "api/ucr",
        "exclude_patterns": ["../ucr/program/cli*", "../ucr/__main__.py"],
    },
    {"path": "../eval", "destination": "api/eval", "exclude_patterns": ["../eval/__main__.py"]},
]
apidoc_separate_modules = True
apidoc_module_first = True
apidoc_max_depth = 2
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
default_role = "literal"
suppress_warnings = [
    "ref.python"
]  # `UserError` and the like, which several modules know: any of them will do

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sourcelink = False
html_copy_source = False


def setup(app):
    app.connect("source-read", front)


def front(app, page, source):
    """The README opens the site: its text stands before index.md's, with links as from this folder."""
    if page == "index":
        text = (ROOT / "README.md").read_text()
        source[0] = (
            re.sub(r"\]\((?!https?:|#)([^)]+)\)", lambda link: f"]({from_here(link[1])})", text) + source[0]
        )


def from_here(target):
    pages = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
    return pages.get(target) or (
        target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
    )
