"""The pages for people, to try an adapter and to read the API: nothing comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@cache
def try_page() -> str:
    """The page at `/`."""
    return Path(__file__).with_name("page.html").read_text(encoding="utf-8")


def policy(page: str) -> str:
    """The Content-Security-Policy under which a page's own script and style run, and no others."""
    return (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; "
        f"script-src {_hashes('script', page)}; style-src {_hashes('style', page)}"
    )


def _hashes(tag: str, page: str) -> str:
    contents = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in contents]
    allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    return " ".join(allowed) or "'none'"


def api_page(openapi: Mapping[str, Any]) -> str:
    """An OpenAPI description as a page to read."""
    info, schemas = openapi["info"], openapi["components"]["schemas"]
    style = re.search("<style>.*?</style>", try_page(), re.DOTALL)
    assert style is not None
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        '<p><a href="./">Try it</a> · <a href="openapi.json">openapi.json</a></p>',
        *(line for path, item in openapi["paths"].items() for line in _of_path(path, item)),
        *(line for name, schema in schemas.items() for line in _of_schema(name, schema)),
    ]
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{style[0]}'
    opened = f"{head}<title>compacter: the API</title></head><body>"
    return "\n".join([opened, *body, "</body></html>"])


def _of_path(path: str, item: Mapping[str, Any]) -> Iterator[str]:
    for method, operation in item.items():
        yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        yield f"<p>{escape(operation['summary'])} {escape(operation.get('description', ''))}</p>"
        if "requestBody" in operation:
            yield f"<p>Asked with {_schema_of(operation['requestBody'])}.</p>"
        yield "<ul>"
        for status, response in sorted(operation["responses"].items()):
            yield f"<li>{status}: {escape(response['description'])} {_schema_of(response)}</li>"
        yield "</ul>"


def _of_schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{name}">{name}</h2><p>{escape(schema.get("description", ""))}</p><ul>'
    required = schema.get("required", ())
    for key, value in schema.get("properties", {}).items():
        kind = value.get("type") or "/".join(_kinds(value))
        may = "" if key in required else ", may be left out"
        yield f"<li><code>{key}</code> ({kind}{may}): {escape(value.get('description', ''))}</li>"
    yield "</ul>"


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    for one in schema.get("anyOf", ()):
        yield one.get("type", "object")


def _schema_of(part: Mapping[str, Any]) -> str:
    """Links to the schemas that a request or response is described by."""
    names = re.findall(r"#/components/schemas/(\w+)", json.dumps(part))
    return " or ".join(f'<a href="#{name}">{name}</a>' for name in names)
