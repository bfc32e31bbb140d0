# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges documents that pcivm prints by the schemas in docs/schema; the kind of a document names its schema."""
import json
import pathlib
import re

import jsonschema

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/schema"
SCHEMAS = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FOLDER.glob("*.json")}


def _resolved(node, document):
    """The schema without references: `FILE#/PATH` and `#/PATH` are replaced by what they name."""
    if isinstance(node, list):
        return [_resolved(entry, document) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name, _, path = node["$ref"].partition("#/")
        target = document = SCHEMAS[name] if name else document
        for step in path.split("/"):
            target = target[step]
        return _resolved(target, document)
    return {key: _resolved(value, document) for key, value in node.items()}


def schema_name(document) -> str:
    """VFList -> vf-list.json"""
    if "kind" not in document and "error" in document:
        return "error.json"
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", document.get("kind", "none")).lower() + ".json"


def complaint(text: str) -> str:
    """What is wrong with a document; empty when nothing is."""
    try:
        document = json.loads(text)
        name = schema_name(document)
        if name not in SCHEMAS:
            return f"there is no docs/schema/{name}"
        jsonschema.validate(document, _resolved(SCHEMAS[name], SCHEMAS[name]))
    except (ValueError, AttributeError, jsonschema.ValidationError) as problem:
        return str(problem).split("\n\n", 1)[0]
    return ""
