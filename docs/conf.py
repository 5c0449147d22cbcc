"""The documentation's site, for `make docs`. It loads nothing from elsewhere: styles, scripts and fonts are its own."""

project = "Network Analysis"
copyright = "The Network Analysis authors"

extensions = ["myst_parser"]
exclude_patterns = ["systemd"]

# Links such as [Commands](commands.md#prune) go to headings of these levels.
myst_heading_anchors = 3
# A broken link, or a page that is in no table of contents, is a warning, and `make docs` takes warnings as errors.
nitpicky = True

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
# The blocks are commands and their output: most are of no language that can be highlighted.
highlight_language = "text"
