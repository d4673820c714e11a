"""Write docs/api.md from the OpenAPI document that the service itself gives.

python -m tools.api_reference           write it
python -m tools.api_reference --check   exit 1 if it is not what the service says
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config import Settings
from server.openapi import describe
from tools import generated

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
HEAD = """# The control API

Everything that can be asked of a service, as it says itself at `GET /api/openapi.json` (OpenAPI
3.1; version {version} of the API). [security.md](security.md) says who may ask, and how often;
[speech.md](speech.md) has speech and events in full.

Errors are `application/problem+json` (RFC 9457): what was wrong, the limit, what to do.

This page is written by `python -m tools.api_reference`.

"""
_METHODS = ("get", "put", "post", "patch", "delete")

Json = dict[str, Any]


def page() -> str:
    """The whole page."""
    told = describe(Settings())
    parts = [HEAD.format(version=told["info"]["version"])]
    for path, item in told["paths"].items():
        for method in _METHODS:
            if method in item:
                parts.append("\n".join(operation(method, path, item[method])) + "\n\n")
    parts.append("## Shapes\n\n")
    for name, schema in told["components"]["schemas"].items():
        parts.append("\n".join(shape(name, schema)) + "\n\n")
    return "".join(parts).rstrip("\n") + "\n"


def operation(method: str, path: str, told: Json) -> Iterator[str]:
    """One operation: what it does, takes and answers."""
    yield f"## `{method.upper()} {path}`"
    yield ""
    yield cell(told["summary"])
    yield ""
    if taken := list(inputs(told)):
        yield from (*taken, "")
    yield "| status | means | body |"
    yield "|---|---|---|"
    for status, answer in told["responses"].items():
        bodies = (
            f"`{kind}`: {kind_of(content.get('schema', {}))}"
            for kind, content in answer.get("content", {}).items()
        )
        yield f"| {status} | {cell(answer['description'])} | {', '.join(bodies)} |"


def inputs(told: Json) -> Iterator[str]:
    """What an operation takes."""
    for parameter in told.get("parameters", ()):
        text = cell(parameter.get("description", ""))
        kind = kind_of(parameter["schema"])
        yield f"- `{parameter['name']}` ({parameter['in']}, {kind}){': ' if text else ''}{text}"
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        yield f"- body `{kind}`: {kind_of(content.get('schema', {}))}"


def shape(name: str, schema: Json) -> Iterator[str]:
    """One schema: its fields."""
    yield f"### {name}"
    yield ""
    if "description" in schema:
        yield cell(schema["description"])
        yield ""
    if "properties" not in schema:
        yield kind_of(schema)
        return
    yield "| field | kind | meaning |"
    yield "|---|---|---|"
    required = set(schema.get("required", ()))
    for field, told in schema["properties"].items():
        star = "" if field in required else " (may be missing)"
        text = cell(told.get("description", ""))
        if "default" in told and told["default"] != "":
            text += f"{'; ' if text else ''}default `{json.dumps(told['default']).strip(chr(34))}`"
        yield f"| `{field}`{star} | {kind_of(told)} | {text} |"


def kind_of(schema: Json) -> str:
    """What a value must be, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for word, joint in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        if word in schema:
            return joint.join(kind_of(each) for each in schema[word])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value != "" else "empty" for value in schema["enum"])
    kind = schema.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{kind}, {low:,} to {high:,}"
    return cell(str(kind))


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(generated.written_or_checked(PAGE, page()))
