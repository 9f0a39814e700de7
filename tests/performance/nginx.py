"""The fixed stand-in for both backends, and the plain proxy: nginx with configurations written here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from tests.performance.bodies import (
    CMDB_CREATE,
    CMDB_SEARCH,
    LISTED,
    PROJECT,
    READ,
    cmdb_envelope,
    cmdb_page,
    cmdb_row,
    projectman_created,
    projectman_page,
)

#: nginx takes no longer word than 4,096 bytes, and a letter may take four.
_PIECE: Final = 1000
#: Quoted while JSON is made, a number once it is sent.
_ID: Final = "$fresh_id"

_FRAME: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_body_buffer_size 64k;
    client_body_in_single_buffer on;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
{content}
}}
"""

# An answer made of the request needs its body, which `return` comes too early for: `mirror` reads it, nothing is found
# at the address, and the place for what is not found answers.
_ECHOING: Final = "mirror /mirrored; mirror_request_body on; log_not_found off; error_page 403 404 405 =200 {answer};"

_STAND_IN: Final = """
    map $request_body $name {{ "~\\"(?:bk_)?module_name\\":\\s*\\"([^\\"]+)\\"" $1; default ""; }}
    map $request_body $search {{ "~\\"limit\\":\\s*1\\b" @cmdb_read; default @cmdb_list; }}
    map $connection$connection_requests $fresh_id {{ "~^(.+)$" 1$1; }}
    server {{
        listen {address};
        root .;
        location = /ready {{ return 200 '"ready"'; }}
        location = /mirrored {{ internal; return 204; }}
        location = {cmdb_create} {{ {cmdb_create_by} }}
        location = {cmdb_search} {{ {cmdb_search_by} }}
        location = /v4/projects/{project}/module {{ {projectman_create_by} }}
        location = /v4/projects/{project}/modules {{ {projectman_list} }}
        location @cmdb_create {{ {cmdb_created} }}
        location @cmdb_read {{ {cmdb_read} }}
        location @cmdb_list {{ {cmdb_list} }}
        location @projectman_create {{ {projectman_created} }}
    }}
"""

_PROXY: Final = """
    upstream stand_in {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen {address};
        location / {{ proxy_pass http://stand_in; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""


def program() -> str:
    """Return where nginx is; raises FileNotFoundError that says what to install."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        raise FileNotFoundError("nginx is missing: apt-get install nginx-light")
    return found


def stand_in(address: str) -> str:
    """Return the configuration of both backends; names are echoed, ids are new with every create."""
    return _FRAME.format(
        content=_STAND_IN.format(
            address=address,
            project=PROJECT,
            cmdb_create=CMDB_CREATE,
            cmdb_search=CMDB_SEARCH,
            cmdb_create_by=_ECHOING.format(answer="@cmdb_create"),
            cmdb_search_by=_ECHOING.format(answer="$search"),
            projectman_create_by=_ECHOING.format(answer="@projectman_create"),
            projectman_list=_answer(projectman_page(LISTED, range(READ, READ + LISTED))),
            cmdb_created=_answer(cmdb_envelope(cmdb_row(_ID, "$name"))),
            cmdb_read=_answer(cmdb_page(1, range(READ, READ + 1))),
            cmdb_list=_answer(cmdb_page(LISTED, range(READ, READ + LISTED))),
            projectman_created=_answer(projectman_created(_ID, "$name")),
        )
    )


def proxy(address: str, upstream: str) -> str:
    """Return the configuration of a proxy that passes everything on."""
    return _FRAME.format(content=_PROXY.format(address=address, upstream=upstream))


def write(folder: Path, configuration: str) -> list[str]:
    """Write a configuration into a folder of its own and return the command that runs it, without a privilege."""
    folder.mkdir()
    path = folder / "nginx.conf"
    path.write_text(configuration, encoding="utf-8")
    return [program(), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]


def _answer(document: Any) -> str:
    """Return the directives that answer 200 with a document, in words short enough for nginx."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace(f'"{_ID}"', _ID)
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    sets = "".join(f"set $piece{number} '{piece}'; " for number, piece in enumerate(pieces))
    return f"{sets}return 200 '{''.join(f'$piece{number}' for number in range(len(pieces)))}';"
