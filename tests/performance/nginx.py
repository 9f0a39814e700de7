"""nginx configurations: a stub of both backends with fixed responses, and a plain proxy."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Final

from tests.performance.messages import (
    CMDB_CREATE,
    CMDB_SEARCH,
    PAGE_LENGTH,
    PROJECT,
    READ_ID,
    cmdb_envelope,
    cmdb_page,
    cmdb_row,
    projectman_created,
    projectman_page,
)

#: Debian installs it outside the path of ordinary users.
PROGRAM: Final = shutil.which("nginx", path=f"{os.environ.get('PATH')}:/usr/sbin:/usr/local/sbin")
#: nginx accepts words of at most 4,096 bytes, and a character may take four.
_CHUNK_SIZE: Final = 1000
#: A string in the JSON document, which becomes an unquoted nginx variable with a number.
_ID: Final = "$fresh_id"
_PAGE: Final = range(READ_ID, READ_ID + PAGE_LENGTH)

_FRAME: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    default_type application/json;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_body_buffer_size 64k;
    client_body_in_single_buffer on;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
%s
}
"""
# A response built from the request needs the body, but `return` runs before nginx reads it. `mirror` reads it; the path
# then does not exist as a file, and error_page sends the response.
_ECHO: Final = "mirror /mirrored; mirror_request_body on; log_not_found off; error_page 403 404 405 =200 %s;"
_STUB: Final = r"""
    map $request_body $name { "~\"(?:bk_)?module_name\":\s*\"([^\"]+)\"" $1; default ""; }
    map $request_body $search { "~\"limit\":\s*1\b" @read; default @list; }
    map $connection$connection_requests $fresh_id { "~^(.+)$" 1$1; }
    server {
        listen %s;
        root .;
        location = /ready { return 200 '"ready"'; }
        location = /mirrored { internal; return 204; }
%s
    }
"""
_PROXY: Final = """
    upstream stub { server %s; keepalive 64; keepalive_requests 100000000; }
    server {
        listen %s;
        location / { proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
"""


def backend_stub(address: str) -> str:
    """Return the configuration of the stub; a create returns the name of the request and a new id."""
    locations = {
        f"= {CMDB_CREATE}": _ECHO % "@cmdb",
        "@cmdb": _return_json(cmdb_envelope(cmdb_row(_ID, "$name"))),
        f"= {CMDB_SEARCH}": _ECHO % "$search",
        "@read": _return_json(cmdb_page(1, _PAGE[:1])),
        "@list": _return_json(cmdb_page(PAGE_LENGTH, _PAGE)),
        f"= /v4/projects/{PROJECT}/module": _ECHO % "@projectman",
        "@projectman": _return_json(projectman_created(_ID, "$name")),
        f"= /v4/projects/{PROJECT}/modules": _return_json(projectman_page(PAGE_LENGTH, _PAGE)),
    }
    blocks = "\n".join(f"location {name} {{ {directives} }}" for name, directives in locations.items())
    return _FRAME % (_STUB % (address, blocks))


def proxy(address: str, upstream: str) -> str:
    """Return the configuration of a proxy."""
    return _FRAME % (_PROXY % (upstream, address))


def _return_json(document: Any) -> str:
    """Return the directives that respond 200 with a document, split into words that nginx accepts."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace(f'"{_ID}"', _ID)
    chunks = [text[start : start + _CHUNK_SIZE] for start in range(0, len(text), _CHUNK_SIZE)]
    sets = "".join(f"set $chunk{number} '{chunk}'; " for number, chunk in enumerate(chunks))
    return f"{sets}return 200 '{''.join(f'$chunk{number}' for number in range(len(chunks)))}';"
