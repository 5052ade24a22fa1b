"""A service worker by which Chromium keeps JupyterLab's first scripts compiled: `worker.js`, and where Caddy has it.

A script that comes from the network is compiled at each visit, function by function, until it has come often; one that
a service worker's installation put into a cache is compiled once, whole. The worker has routes and no handler of
requests (https://developer.chrome.com/blog/service-worker-static-routing): no page waits for it, or depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("worker.js")


def worker(base: str, scripts: Sequence[str]) -> list[dict[str, Any]]:
    """Return Caddy's route `hubwright/worker.js`, for pages below `user/`; none where no scripts are known.

    The pages of the hub register it (`page.js`). Its text changes with JupyterLab, which has browsers install it again.
    """
    if not scripts:
        return []
    build = scripts[0].rpartition("/")[0] + "/"
    lab = {"all": build.removesuffix("/").rpartition("/")[0] + "/", "build": build, "files": list(scripts)}
    headers = {
        "Content-Type": ["text/javascript; charset=utf-8"],
        "Cache-Control": ["no-cache"],
        "Service-Worker-Allowed": [f"{base}user/"],
    }
    body = f"const lab = {json.dumps(lab)};\n{_SCRIPT.read_text(encoding='utf-8')}"
    answer = {"handler": "static_response", "status_code": "200", "headers": headers, "body": body}
    return [{"match": [{"path": [f"{base}hubwright/worker.js"]}], "terminal": True, "handle": [answer]}]
