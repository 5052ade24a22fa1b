"""Whether a Unix account that is there may still be used, without its password. Root only: it reads /etc/shadow."""

from __future__ import annotations

import time
from pathlib import Path

import pamela

SHADOW = Path("/etc/shadow")
_ACCOUNT_EXPIRED = 13
"""PAM_ACCT_EXPIRED (Linux-PAM, _pam_types.h), of accounts that are not in /etc/shadow. Other refusals may pass by
themselves, as pam_time's or pam_nologin's, or say too little, as pam_deny's; they end no server."""


def why_out(name: str, service: str) -> str:
    """Return why an account was shut since its last login, or ""."""
    if why := shut(name, SHADOW, int(time.time() // 86400)):
        return why
    try:
        handle = pamela.pam_start(service, name)
    except pamela.PAMError:
        return ""
    code = 0
    try:
        code = pamela.PAM_ACCT_MGMT(handle, 0)
    finally:
        pamela.PAM_END(handle, code)
    return f"The account {name} has expired." if code == _ACCOUNT_EXPIRED else ""


def shut(name: str, shadow: Path, today: int) -> str:
    """Return whether an account is locked (`usermod -L`) or past its last day (`usermod -e`), or "".

    `today` is in days since 1970, as shadow(5) counts. A password that was never set does not make an account locked.
    """
    with shadow.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(":")
            if fields[0] != name or len(fields) < 8:
                continue
            if fields[1].startswith("!") and fields[1].strip("!*"):
                return f"The account {name} is locked."
            if fields[7].isdecimal() and 0 < int(fields[7]) <= today:
                return f"The account {name} has expired."
    return ""
