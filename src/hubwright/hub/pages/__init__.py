"""The hub's pages: start, home, overview; what they look like (`assets/`, `templates/`) and what answers them."""

from pathlib import Path

HERE = Path(__file__).parent
TEMPLATES = (HERE / "templates" / "hubwright", HERE / "templates")
"""Where JupyterHub looks for templates: `home.html` is found in the first, `hubwright/home.html` in the second, so that
a template of the admin's own with the same name can extend ours."""
