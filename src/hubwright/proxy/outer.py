"""Configuration for another machine that stands before this one: nginx, Caddy, and a tunnel to it; pure text.

Both pass websockets, bodies of any size and answers that take a day, and name the client in a header that is written
anew: whatever a client says of itself ends there.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubwright.fields import Site
from hubwright.proxy.serving import Apex, host_of

_LETS_ENCRYPT = "/etc/letsencrypt/live"


@dataclass(frozen=True)
class Outer:
    """The other machine as people see it, and this one as it sees it."""

    hosts: tuple[str, ...]
    """Names in browsers, the hub's first."""
    base_url: str
    upstream: str
    """Host and port of this machine."""
    certificate: str
    key: str


def outer(
    site: Site, upstream: str | None, certificate: str | None, key: str | None, apex: Apex | None = None
) -> Outer:
    """Return what stands before `site`; without words of its own, with the certificate that certbot gets.

    Pages beside the hub are asked for where the hub is, so everything is passed on.
    """
    host = host_of(site.public_url)
    place = f"{_LETS_ENCRYPT}/{host}"
    port = site.listen[1]
    own = "127.0.0.1" if site.listen[0] in {"0.0.0.0", "::"} else site.listen[0]  # noqa: S104
    return Outer(
        hosts=(host,) if apex is None or apex.beside else (host, apex.host),
        base_url="/" if apex else site.base_url,
        upstream=upstream or f"{f'[{own}]' if ':' in own else own}:{port}",
        certificate=certificate or f"{place}/fullchain.pem",
        key=key or f"{place}/privkey.pem",
    )


def nginx(to: Outer) -> str:
    """Return a whole file for /etc/nginx/conf.d."""
    names = " ".join(to.hosts)
    apex = ""
    if to.base_url != "/":
        apex = _NGINX_APEX.format(base=to.base_url, bare=to.base_url.rstrip("/"))
    return _NGINX.format(
        names=names,
        certbot=" ".join(f"-d {host}" for host in to.hosts),
        upstream=to.upstream,
        certificate=to.certificate,
        key=to.key,
        base=to.base_url,
        apex=apex,
    )


def caddy(to: Outer, *, own_certificate: bool) -> str:
    """Return a whole Caddyfile; Caddy gets its certificate by itself, unless `own_certificate` names one."""
    tls = f"\ttls {to.certificate} {to.key}\n" if own_certificate else ""
    apex = ""
    where = ""
    if to.base_url != "/":
        bare = to.base_url.rstrip("/")
        apex = _CADDY_APEX.format(base=to.base_url, bare=bare)
        where = f"{to.base_url}* "
    return _CADDY.format(names=", ".join(to.hosts), tls=tls, upstream=to.upstream, where=where, apex=apex)


def tunnel(site: Site, to: str) -> str:
    """Return a systemd unit for this machine that keeps a tunnel to `to` (`user@host`) open."""
    port = site.listen[1]
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(site.listen[0], site.listen[0])  # noqa: S104
    return _TUNNEL.format(to=to, host=to.rpartition("@")[2], port=port, own=own)


_NGINX = """\
# nginx before a notebook service: /etc/nginx/conf.d/hubwright.conf on the machine that browsers reach.
# After a change: nginx -t && systemctl reload nginx

map $http_upgrade $hubwright_connection {{
    default upgrade;
    ''      '';
}}

upstream hubwright {{
    server {upstream};
    keepalive 32;
}}

server {{
    listen 80;
    listen [::]:80;
    server_name {names};

    # First the certificate, for all the names, while nginx is as it was installed; then this file, since nginx does
    # not start without the certificate: certbot certonly --webroot -w /var/www/html {certbot}
    location /.well-known/acme-challenge/ {{
        root /var/www/html;
    }}
    location / {{
        return 308 https://$host$request_uri;
    }}
}}

server {{
    listen 443 ssl http2;
    listen [::]:443 ssl http2;
    server_name {names};

    ssl_certificate     {certificate};
    ssl_certificate_key {key};
    ssl_protocols       TLSv1.2 TLSv1.3;
    ssl_session_cache   shared:hubwright:10m;
    ssl_session_tickets off;

    # notebooks and uploads of any size, passed on as they come
    client_max_body_size    0;
    proxy_request_buffering off;
    proxy_buffering         off;
    # pages name some fifty scripts in their head
    proxy_buffer_size       64k;
    proxy_buffers           8 64k;
    # cookies of the hub, of every server and of an interrupted login, in one line
    large_client_header_buffers 8 60k;

    absolute_redirect off;

    # websockets, and cells that are silent for hours
    proxy_http_version    1.1;
    proxy_connect_timeout 10s;
    proxy_read_timeout    1d;
    proxy_send_timeout    1d;

    proxy_set_header Host              $http_host;
    proxy_set_header Upgrade           $http_upgrade;
    proxy_set_header Connection        $hubwright_connection;
    # written anew: what a client says of itself ends here
    proxy_set_header X-Forwarded-For   $remote_addr;
    proxy_set_header X-Forwarded-Host  $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Forwarded         "";

    location {base} {{
        proxy_pass http://hubwright;
    }}
{apex}}}
"""
_NGINX_APEX = """
    location = {bare} {{
        return 308 {base};
    }}

    # The page at the apex: this leads to the hub. For pages of your own: root /var/www/apex;
    location = / {{
        return 302 {base};
    }}
"""
_CADDY = """\
# Caddy before a notebook service: /etc/caddy/Caddyfile on the machine that browsers reach.
# After a change: systemctl reload caddy
# It gets its certificate by itself, sends HTTP to HTTPS, passes websockets, and has no limit of sizes or times.

{{
	servers {{
		# cookies of the hub, of every server and of an interrupted login
		max_header_size 56KiB
	}}
}}

{names} {{
{tls}\treverse_proxy {where}{upstream} {{
		# answers are passed on as they come; a reload of this file leaves websockets open
		flush_interval -1
		stream_close_delay 24h
		transport http {{
			dial_timeout 10s
		}}
	}}
{apex}}}
"""
_CADDY_APEX = """
	# The page at the apex: this leads to the hub. Put a page of your own here.
	redir / {base} 302
	redir {bare} {base} 308
"""
_TUNNEL = """\
# A tunnel from this machine to {host}, whose proxy then finds the service at 127.0.0.1:{port}, its own address.
# /etc/systemd/system/hubwright-tunnel.service on this machine. Once, as root:
#   useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin hubwright-tunnel
#   mkdir -p /etc/hubwright && ssh-keygen -t ed25519 -N "" -f /etc/hubwright/tunnel
#   ssh-keyscan {host} >/etc/hubwright/known_hosts     (compare it with the other machine's own)
# On the other machine, in ~/.ssh/authorized_keys of that user, before the text of /etc/hubwright/tunnel.pub:
#   restrict,command="/bin/false",port-forwarding,permitlisten="127.0.0.1:{port}"
# Then: systemctl daemon-reload && systemctl enable --now hubwright-tunnel
[Unit]
Description=Tunnel of the notebook service to {host}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
# not DynamicUser=: ssh wants to know its user's name, which a machine without libnss-systemd cannot tell it
User=hubwright-tunnel
LoadCredential=key:/etc/hubwright/tunnel
LoadCredential=known_hosts:/etc/hubwright/known_hosts
ExecStart=/usr/bin/ssh -N -T -F none -i ${{CREDENTIALS_DIRECTORY}}/key \\
    -o UserKnownHostsFile=${{CREDENTIALS_DIRECTORY}}/known_hosts -o StrictHostKeyChecking=yes \\
    -o IdentitiesOnly=yes -o BatchMode=yes -o ExitOnForwardFailure=yes \\
    -o ServerAliveInterval=15 -o ServerAliveCountMax=3 \\
    -R 127.0.0.1:{port}:{own}:{port} {to}
Restart=always
RestartSec=5
NoNewPrivileges=yes
RestrictSUIDSGID=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""
