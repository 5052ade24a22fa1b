"""What a person sees when Caddy itself has to answer: whole pages in one file each, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #f6f8fa; --card: #fff; --line: #d1d9e0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #f0f6fc; --soft: #9198a1; --paper: #0d1117; --card: #151b23; --line: #3d444d; }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }}
main {{ max-width: 30rem; margin: 1rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }}
h1 {{ margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.3; }}
p {{ margin: 0 0 1.5rem; color: var(--soft); }}
a {{ display: inline-block; padding: .5rem 1rem; border-radius: .4rem; background: #b5470f; color: #fff;
  text-decoration: none; font-weight: 600; }}
a:focus-visible {{ outline: 3px solid var(--ink); outline-offset: 2px; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
<a href="{link}">{label}</a>
</main>
</body>
</html>
"""


def server_silent(base_url: str) -> str:
    """Return the page for a notebook server or service that has a route and does not answer."""
    return _PAGE.format(
        title="Your server is not answering",
        text="It may just have been stopped, or it ran out of memory. Files that were saved are safe. "
        "Go to the hub to start it again.",
        link=escape(f"{base_url}hub/home"),
        label="Go to the hub",
    )


def hub_silent(base_url: str) -> str:
    """Return the page for a hub that did not come back in time."""
    return _PAGE.format(
        title="The hub is not answering",
        text="It is being restarted, or it has a problem. Notebooks that are running go on. "
        "Try again in a minute; if it stays like this, tell whoever runs this service.",
        link=escape(base_url),
        label="Try again",
    )
