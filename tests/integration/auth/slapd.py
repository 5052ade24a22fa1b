"""A real OpenLDAP server of the test's own: plain, StartTLS and LDAPS on free ports, with people and groups."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.daemons import await_answer, end
from tests.running import port

BASE = "dc=example,dc=org"
HUB, HUB_PASSWORD = f"cn=hub,{BASE}", "the hub's own"
PEOPLE = {"ada": "ada's password", "bob": "bob's password", "O'Brien": "the irish one", "jose": "contraseña ü"}
GROUPS = {"lab": ["ada", "O'Brien"], "teachers": ["ada"], "guests": ["bob"]}
MISSING = [] if shutil.which("slapd", path="/usr/sbin:/usr/bin") else ["slapd"]


def entry(name: str) -> str:
    return f"uid={name},ou=people,{BASE}"


class Slapd:
    """slapd in the foreground; `stop` and `start` it as often as a test wants."""

    def __init__(
        self, folder: Path, host: str = "", inside: Callable[..., list[str]] = lambda *words: [*words]
    ) -> None:
        """With a `host`, LDAPS is at its usual port, and every program runs as `inside` says."""
        self.folder, self.host, self._inside = folder, host or "localhost", inside
        self.plain, self.tls = port(), 636 if host else port()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self._certificates()
        (folder / "data").mkdir()
        (folder / "slapd.conf").write_text(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {self.ca}
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
database mdb
maxsize 67108864
suffix "{BASE}"
rootdn "cn=root,{BASE}"
rootpw rootpw
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{HUB}" read by self read by users read by * none
""")
        self._add(self._content())

    def section(self, ca: str = "{ca}") -> str:
        """Return the `auth` of a hub.yaml by which a hub looks people up here; `ca` is the file of the authority."""
        return f"""\
auth:
  kind: ldap
  servers: ["{self.ldaps}"]
  ca: {ca}
  search: {{base: "ou=people,{BASE}", account: "{HUB}"}}
  look_every: 1s
"""

    @property
    def ldap(self) -> str:
        return f"ldap://localhost:{self.plain}"

    @property
    def ldaps(self) -> str:
        return f"ldaps://{self.host}:{self.tls}"

    def start(self) -> Slapd:
        """Start it, or start it again; returns when it answers, and leaves nothing running when it does not."""
        addresses = f"ldap://127.0.0.1:{self.plain} ldaps://{self.host}:{self.tls}"
        with (self.folder / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._inside("/usr/sbin/slapd", "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", addresses),
                stdout=log,
                stderr=log,
            )
        await_answer(self.process, self._answers, self.folder / "slapd.log")
        return self

    def stop(self) -> None:
        end(self.process)

    def _answers(self) -> bool:
        try:
            return self._tool("ldapwhoami", "") == 0
        except subprocess.TimeoutExpired:
            return False

    def change(self, ldif: str) -> None:
        assert self._tool("ldapmodify", ldif) == 0

    def leave(self, name: str, group: str) -> None:
        """Take somebody out of a group."""
        self.change(f"dn: cn={group},ou=groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {entry(name)}\n")

    def join(self, name: str, group: str) -> None:
        self.change(f"dn: cn={group},ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {entry(name)}\n")

    def add_group(self, name: str, *members: str) -> None:
        lines = "".join(f"member: {entry(one)}\n" for one in members)
        self.change(f"dn: cn={name},ou=groups,{BASE}\nchangetype: add\nobjectClass: groupOfNames\ncn: {name}\n{lines}")

    def remove(self, name: str) -> None:
        self.change(f"dn: {entry(name)}\nchangetype: delete\n")

    def add_person(self, name: str, password: str) -> None:
        self.change(_person(name, password).replace("objectClass", "changetype: add\nobjectClass", 1))

    def _tool(self, program: str, text: str) -> int:
        where = f"ldap://127.0.0.1:{self.plain}"
        argv = self._inside(program, "-x", "-H", where, "-D", f"cn=root,{BASE}", "-w", "rootpw")
        return subprocess.run(argv, input=text.encode(), capture_output=True, timeout=20).returncode

    def _add(self, ldif: str) -> None:
        argv = ["/usr/sbin/slapadd", "-f", str(self.folder / "slapd.conf")]
        done = subprocess.run(argv, input=ldif.encode(), capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr

    def _content(self) -> str:
        parts = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n"]
        parts += [f"dn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}\n" for ou in ("people", "groups")]
        parts.append(
            f"dn: {HUB}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: hub\n"
            f"userPassword: {HUB_PASSWORD}\n"
        )
        parts += [_person(name, password) for name, password in PEOPLE.items()]
        for group, members in GROUPS.items():
            lines = "".join(f"member: {entry(name)}\n" for name in [*members, "hub-nobody"])
            parts.append(f"dn: cn={group},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {group}\n{lines}")
        return "\n".join(parts)

    def _certificates(self) -> None:
        for ca in ("ca", "other-ca"):
            self._openssl(
                *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
                *("-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}"),
            )
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"),
        )
        (self.folder / "names").write_text(f"subjectAltName=DNS:{self.host}\n")
        self._openssl(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "names", "-out", "server.pem"),
        )

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=60)


def _person(name: str, password: str) -> str:
    kind = "objectClass: inetOrgPerson\n"
    return f"dn: {entry(name)}\n{kind}uid: {name}\ncn: {name}\nsn: {name}\nuserPassword: {password}\n"
