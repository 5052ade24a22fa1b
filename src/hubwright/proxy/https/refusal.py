"""What an authority answered that gave no certificate, out of the log of Caddy's talks with it.

Source: https://www.rfc-editor.org/rfc/rfc8555#section-6.7 for the kinds of refusal.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from hubwright.errors import Problem, printable
from hubwright.proxy.https import acme_log

_REFUSED = "could not get certificate from issuer"
_ANSWER = re.compile(r"HTTP \d+ urn:ietf:params:acme:error:(\w+) - (.+)", re.DOTALL)
_REACH = "Ports 80 and 443 of this machine must be reached from everywhere under that name; then start again."
_REMEDIES = {
    "rateLimited": "Wait as long as it says; try out what you change with Let's Encrypt's `directory` for tests.",
    "dns": "The name must lead to this machine in the DNS that the world sees; then start again.",
    "connection": _REACH,
    "unauthorized": f"Something else answers under that name. {_REACH}",
    "incorrectResponse": f"Something else answers under that name. {_REACH}",
    "tls": _REACH,
    "caa": "The domain's CAA records must allow this authority.",
    "rejectedIdentifier": "Take a name that this authority gives certificates for, or another `directory`.",
    "externalAccountRequired": "This authority wants an account made before; take another `directory`.",
    "serverInternal": "That is the authority's own trouble; start again later.",
}


def refusal(log: Path, since: datetime) -> Problem | None:
    """Return the last thing that kept Caddy from a certificate since a time; None when there is none.

    An error is an answer of the authority's, which asking again will not change soon; a warning is that there was none.
    """
    found = None
    for time, entry in acme_log.entries(log):
        if time < since or entry.get("msg") != _REFUSED:
            continue
        name, error = str(entry.get("identifier")), str(entry.get("error"))
        answer = _ANSWER.search(error)
        if answer:
            what = f"The authority gives no certificate for {name}: {printable(answer[2], ' ')} ({answer[1]})."
            found = Problem("hub.yaml https", what, _REMEDIES.get(answer[1], "Caddy's log has more."))
        else:
            what = f"The authority cannot be asked for a certificate for {name}: {printable(error, ' ')}."
            found = Problem("hub.yaml https", what, "It is tried again in a minute.", "warning")
    return found
