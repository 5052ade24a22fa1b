"""A home in memory, which looks as a real one does: for tests of what is decided."""

from __future__ import annotations

from hubwright.content.merge import WRITES, Found, Handed, Original, Step


def original(text: str, day: str = "2026-11-21") -> Original:
    return Original(digest(text), len(text), day=day)


def digest(text: str) -> str:
    return f"digest of {text}"


class Memory:
    """Files by path; folders are what is above them."""

    def __init__(self, files: dict[str, str] | None = None) -> None:
        self.files = dict(files or {})
        self.record: dict[str, Handed] = {}

    def look(self, path: str) -> Found:
        if path in self.files:
            return Found("file", digest(self.files[path]))
        below = frozenset(other for other in self.files if other.startswith(f"{path}/"))
        if below:
            return Found("folder", below=below)
        parts = path.split("/")
        for count in range(1, len(parts)):
            if (above := "/".join(parts[:count])) in self.files:
                return Found("blocked", by=above)
        return Found("nothing")

    def do(self, steps: list[Step], originals: dict[str, str]) -> None:
        """Do what was decided, and fail where a real home would."""
        for step in steps:
            there = self.look(step.place)
            if step.what == "remove":
                assert there.digest == step.expected, step
                del self.files[step.place]
                self.record.pop(step.path, None)
                continue
            if step.what == "update":
                assert there.digest == step.expected, step
            elif step.what in WRITES:
                assert there.kind == "nothing", step
            if step.what in WRITES:
                self.files[step.place] = originals[step.path]
            if step.after:
                self.record[step.path] = step.after
