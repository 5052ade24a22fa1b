"""Checking a password through PAM, and what to tell the person. Standard library and pamela: root imports it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import pamela

LONGEST = 512
"""Characters; PAM takes no more (Linux-PAM, PAM_MAX_RESP_SIZE)."""
WRONG = "Wrong user name or password, or this account may not use the hub."
_DISALLOW_NULL_AUTHTOK, _FAIL_DELAY, _USER = 1, 10, 2
_NEW_AUTHTOK_REQD = 12
# PAM's own delay is random and comes only with some failures; ours is the same for all.
_NO_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)(lambda *_: None)


@dataclass(frozen=True)
class Refusal:
    """Why a login is refused."""

    told: str
    """To the person: why an account is refused is told only to who knows its password."""
    noted: str
    """In the log."""


def check(name: str, password: str, service: str) -> Refusal | None:
    """Return None when PAM's `service` accepts the password and the account may be used now."""
    wrong = Refusal(WRONG, f"wrong password for {name}")
    if not password or "\0" in password:  # PAM sees a C string: "secret\0..." would be "secret"
        return wrong
    try:
        answers = pamela.new_simple_password_conv((password.encode(),), "utf-8")
    except UnicodeEncodeError:
        return wrong
    try:
        handle = pamela.pam_start(service, name, conv_func=answers)
    except pamela.PAMError as error:
        told = "Passwords cannot be checked now. Tell the admin: PAM does not start."
        return Refusal(told, f"PAM does not start: {error}")
    code = 0
    try:
        set_item = ctypes.CDLL(pamela.LIBPAM._name).pam_set_item
        set_item.argtypes = [pamela.PamHandle, ctypes.c_int, ctypes.c_void_p]
        set_item(handle, _FAIL_DELAY, ctypes.cast(_NO_DELAY, ctypes.c_void_p))
        code = pamela.PAM_AUTHENTICATE(handle, _DISALLOW_NULL_AUTHTOK)
        if code != 0 or handle.get_item(_USER) != name:
            return wrong
        code = pamela.PAM_ACCT_MGMT(handle, 0)
    finally:
        pamela.PAM_END(handle, code)
    if code == 0:
        return None
    noted = f"account of {name} refused by PAM: {pamela.pam_strerror(pamela.PamHandle(), code)}"
    if code == _NEW_AUTHTOK_REQD:
        return Refusal("Your password has expired. Change it on the machine, then log in again.", noted)
    return Refusal("Your account on this machine is locked or has expired. Ask the admin.", noted)
