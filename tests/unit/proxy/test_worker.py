"""The service worker's text and address; that browsers use it is the browser's test."""

import json

from hubwright.proxy.worker import worker

SCRIPTS = ["/j/hubwright/lab/0123456789abcdef/main.1.js?v=1", "/j/hubwright/lab/0123456789abcdef/2.js?v=2"]


def test_it_keeps_what_every_page_loads_and_forgets_other_builds() -> None:
    (route,) = worker("/j/", SCRIPTS)
    answer = route["handle"][0]
    assert route["match"] == [{"path": ["/j/hubwright/worker.js"]}]
    assert answer["headers"]["Service-Worker-Allowed"] == ["/j/user/"]
    first, _, script = answer["body"].partition("\n")
    told = json.loads(first.removeprefix("const lab = ").removesuffix(";"))
    assert told == {"all": "/j/hubwright/lab/", "build": "/j/hubwright/lab/0123456789abcdef/", "files": SCRIPTS}
    assert "addRoutes" in script and 'addEventListener("fetch"' not in script


def test_without_known_scripts_there_is_none() -> None:
    assert worker("/", []) == []
