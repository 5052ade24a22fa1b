"""A step that takes long is told again, with how long; one that is over is not."""

import threading
import time

from hubwright.envs.steps import Steps


def test_nothing_is_silent_for_long():
    told: list[tuple[float, str]] = []
    begin = time.monotonic()
    again = threading.Event()

    def tell(text: str) -> None:
        told.append((time.monotonic() - begin, text))
        if text.startswith("deep: Linking, for"):
            again.set()

    with Steps(tell, every=0.2) as steps:
        steps.of("lab")("Resolving package versions...")
        steps.end("lab")
        steps.of("deep")("Linking")
        assert again.wait(20)
        steps.of("deep")("Trying its kernel")
    time.sleep(0.3)
    words = [text for _, text in told]
    assert words[:3] == ["lab: Resolving package versions", "deep: Linking", "deep: Linking, for 0 s"]
    assert words[-1] == "deep: Trying its kernel"
    assert told[2][0] >= 0.2
