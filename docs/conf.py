"""The documentation site: Markdown, and a theme that loads nothing from other hosts."""

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

from greengrocer import __version__

project = "Greengrocer"
release = __version__
copyright = "The Greengrocer maintainers"  # noqa: A001 - Sphinx's name for it

extensions = ["myst_parser", "tools.reference_pages"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["examples"]
nitpicky = True
smartquotes = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"Greengrocer {release}"
html_favicon = "../src/greengrocer/web/page/assets/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]

lexers["haproxy"] = TextLexer()  # Pygments has none for it
