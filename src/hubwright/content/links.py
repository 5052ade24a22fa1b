"""Links that open a file of a content in somebody's own JupyterLab; pure."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def link_to(public_url: str, target: str, path: str) -> str:
    """Return the link that JupyterHub leads everybody with to his own server, started if need be.

    Contents are handed out before a server starts, so that the file is there.
    """
    return f"{public_url}hub/user-redirect/lab/tree/{quote(f'{target}/{path}'.rstrip('/'))}"


def puller_link(public_url: str, address: str, ref: str, target: str, path: str) -> str:
    """Return the link for nbgitpuller, which pulls a repository into the content's folder and opens a file of it.

    See https://nbgitpuller.readthedocs.io.
    """
    words = {"repo": address, "targetpath": target, "urlpath": f"lab/tree/{target}/{path}".rstrip("/")}
    words |= {"branch": ref} if ref else {}
    return f"{public_url}hub/user-redirect/git-pull?{urlencode(words)}"
