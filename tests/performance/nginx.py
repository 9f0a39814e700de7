"""Configurations of nginx: a stub for both backends with fixed responses, and a plain proxy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from tests.performance.bodies import (
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

#: nginx accepts words of at most 4,096 bytes, and a character may take four.
_CHUNK_SIZE: Final = 1000
#: A string in the JSON document, which becomes an unquoted nginx variable with a number.
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

# A response built from the request needs the body, but `return` runs before nginx reads it. `mirror` reads it; the path
# then does not exist as a file, and error_page sends the response.
_ECHO: Final = "mirror /mirrored; mirror_request_body on; log_not_found off; error_page 403 404 405 =200 {location};"

_STUB: Final = """
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
    upstream stub {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen {address};
        location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""


def find_program() -> str:
    """Return the path of nginx; raise FileNotFoundError if it is not installed."""
    path = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if path is None:
        raise FileNotFoundError("nginx is missing: apt-get install nginx-light")
    return path


def backend_stub(address: str) -> str:
    """Return the configuration of the stub; a create returns the name of the request and a new id."""
    return _FRAME.format(
        content=_STUB.format(
            address=address,
            project=PROJECT,
            cmdb_create=CMDB_CREATE,
            cmdb_search=CMDB_SEARCH,
            cmdb_create_by=_ECHO.format(location="@cmdb_create"),
            cmdb_search_by=_ECHO.format(location="$search"),
            projectman_create_by=_ECHO.format(location="@projectman_create"),
            projectman_list=_return_json(projectman_page(PAGE_LENGTH, range(READ_ID, READ_ID + PAGE_LENGTH))),
            cmdb_created=_return_json(cmdb_envelope(cmdb_row(_ID, "$name"))),
            cmdb_read=_return_json(cmdb_page(1, range(READ_ID, READ_ID + 1))),
            cmdb_list=_return_json(cmdb_page(PAGE_LENGTH, range(READ_ID, READ_ID + PAGE_LENGTH))),
            projectman_created=_return_json(projectman_created(_ID, "$name")),
        )
    )


def proxy(address: str, upstream: str) -> str:
    """Return the configuration of a proxy."""
    return _FRAME.format(content=_PROXY.format(address=address, upstream=upstream))


def write_config(folder: Path, configuration: str) -> list[str]:
    """Write a configuration into a new folder and return the command that runs it as an unprivileged user."""
    folder.mkdir()
    path = folder / "nginx.conf"
    path.write_text(configuration, encoding="utf-8")
    return [find_program(), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]


def _return_json(document: Any) -> str:
    """Return the directives that respond 200 with a document, split into words that nginx accepts."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace(f'"{_ID}"', _ID)
    chunks = [text[start : start + _CHUNK_SIZE] for start in range(0, len(text), _CHUNK_SIZE)]
    sets = "".join(f"set $chunk{number} '{chunk}'; " for number, chunk in enumerate(chunks))
    return f"{sets}return 200 '{''.join(f'$chunk{number}' for number in range(len(chunks)))}';"
