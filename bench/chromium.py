"""Chromium: how it is started, by the benchmark and by the browser tests alike; and one that is spoken to by its tab.

Playwright attaches to pages, and for such a page Chromium makes nothing ready ahead (PrerenderingDisabledByDevTools).
DevTools attaches to the tab, which has the page that is seen and the one that is being made ready.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websocket

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Quiet, and asking nobody for news."""
_WAIT = 120.0
_LOOK = 0.016
"""Seconds between two looks at a page: once a frame."""


class Gone(Exception):
    """The page that was asked is no longer there; another one is."""


class Tab:
    """A Chromium with one tab. A context manager: ended at the end, its profile stays."""

    def __init__(self, profile: Path) -> None:
        found = profile / "DevToolsActivePort"
        found.unlink(missing_ok=True)
        words = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=1280,800"]
        self.process = subprocess.Popen(
            ["/usr/bin/chromium", *words, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.number = 0
        self.pages: dict[str, tuple[str, bool]] = {}
        """Each page's target: its session, and whether it is being made ready."""
        try:
            deadline = time.monotonic() + 30
            while not found.exists() or found.read_text().count("\n") < 1:
                if time.monotonic() > deadline:
                    raise TimeoutError("Chromium did not start in 30 s.")
                time.sleep(0.05)
            port, path = found.read_text().split("\n")[:2]
            self.socket = websocket.create_connection(
                f"ws://127.0.0.1:{port}{path}", timeout=_WAIT, suppress_origin=True
            )
            (tab,) = self.call("Target.getTargets", {"filter": [{"type": "tab"}]})["targetInfos"]
            session = self.call("Target.attachToTarget", {"targetId": tab["targetId"], "flatten": True})["sessionId"]
            wanted = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
            self.call("Target.setAutoAttach", wanted | {"filter": [{"type": "page"}]}, session)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.call("Browser.close")
            self.socket.close()
            self.process.wait(20)
        except (OSError, websocket.WebSocketException, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait(20)

    def call(self, method: str, words: dict[str, Any] | None = None, session: str = "") -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its answer."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": words or {}}
        self.socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            heard = json.loads(self.socket.recv())
            if heard.get("id") == number:
                if "error" in heard:
                    raise Gone(heard["error"]["message"])
                return heard["result"]
            self._hear(heard.get("method", ""), heard.get("params", {}))
            if heard.get("method") == "Target.detachedFromTarget" and heard["params"]["sessionId"] == session:
                raise Gone(method)

    def _hear(self, method: str, words: dict[str, Any]) -> None:
        if method == "Target.attachedToTarget":
            target = words["targetInfo"]
            self.pages[target["targetId"]] = (words["sessionId"], target.get("subtype") == "prerender")
        elif method == "Target.targetInfoChanged" and (known := self.pages.get(words["targetInfo"]["targetId"])):
            target = words["targetInfo"]
            self.pages[target["targetId"]] = (known[0], target.get("subtype") == "prerender")
        elif method == "Target.detachedFromTarget":
            self.pages = {name: one for name, one in self.pages.items() if one[0] != words["sessionId"]}

    @property
    def page(self) -> str:
        """The session of the page that is seen."""
        return self._page(ahead=False)

    def _page(self, ahead: bool) -> str:
        found = [session for session, other in self.pages.values() if other == ahead]
        if not found:
            self.call("Browser.getVersion")  # an answer, and with it what has happened meanwhile
            raise Gone("page")
        return found[-1]

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", {"url": url}, self.page)

    def run(self, script: str, page: str = "") -> Any:
        """Return what an expression comes to in the page, or in that of another session."""
        answer = self.call("Runtime.evaluate", {"expression": script, "returnByValue": True}, page or self.page)
        if "exceptionDetails" in answer:
            raise Gone(json.dumps(answer["exceptionDetails"])[:300])
        return answer["result"].get("value")

    def wait(self, script: str, patience: float = _WAIT, *, ahead: bool = False) -> None:
        """Wait until an expression is true in the page, or in the one that is made ready; looks at every frame.

        Raises:
            TimeoutError: it did not become so.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                if self.run(f"Boolean({script})", self._page(ahead)):
                    return
            except Gone:
                pass  # one page goes, the next one comes
            time.sleep(_LOOK)
        raise TimeoutError(f"Not in {patience:g} s: {script}")

    def click(self, selector: str) -> None:
        """Press the mouse's button in the middle of an element."""
        place = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place})")
        where = {"x": x, "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", where | {"type": kind}, self.page)

    def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", {"text": text}, self.page)

    def shift_enter(self) -> None:
        """Press both."""
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 8}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", enter | {"type": kind}, self.page)

    def picture(self, path: Path) -> None:
        """Keep what is on the screen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", session=self.page)["data"]))
