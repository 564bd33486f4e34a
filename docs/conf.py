"""How Sphinx builds the documentation."""

from importlib.metadata import version as installed_version

project = "RLDK"
author = "The RLDK developers"
project_copyright = author
version = release = installed_version("rldk")

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"RLDK {version}"
