#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/api/openapi.json says nothing that is not so: its references lead somewhere, its schemas are schemas, and what it
says of a VM agrees with docs/schema. That its paths are those that are served is tested by Api.DescribesItself.

usage: openapi_test.py PCIVM        exits 77 (skipped) without python3-jsonschema
"""
import json
import pathlib
import sys

try:
    import jsonschema
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
API = json.loads((DOCS / "api/openapi.json").read_text(encoding="utf-8"))

failures = []


def expect(what: str, holds: bool):
    if not holds:
        failures.append(what)


def target(reference: str):
    place = API
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step) if isinstance(place, dict) else None
    return place


def references(node, where: str):
    if isinstance(node, list):
        for index, entry in enumerate(node):
            references(entry, f"{where}[{index}]")
    elif isinstance(node, dict):
        if "$ref" in node:
            expect(f"{where}: {node['$ref']} leads nowhere", target(node["$ref"]) is not None)
        for key, entry in node.items():
            references(entry, f"{where}.{key}")


def operations():
    names = []
    for path, methods in API["paths"].items():
        expect(f"{path} is not of v1", path.startswith("/v1/"))
        for method, operation in methods.items():
            name = f"{method} {path}"
            names.append(operation.get("operationId"))
            expect(f"{name} is not summed up", bool(operation.get("summary")))
            expect(f"{name} has no answer that is good", any(code[0] in "12" for code in operation["responses"]))
            for code, answer in operation["responses"].items():
                answer = target(answer["$ref"]) if "$ref" in answer else answer
                expect(f"{name}: {code} is not described", bool(answer.get("description")))
    expect(f"operations are named {names}", len(set(names)) == len(names) and all(names))


def agreement():
    """A document that the one allows is allowed by the other."""
    schemas = API["components"]["schemas"]
    for name, schema in schemas.items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as problem:
            failures.append(f"{name}: {problem}")
    for name, file in (("Vm", "vm.json"), ("VmDevice", "vm-device.json"), ("VmEnd", "vm-end.json")):
        ours = json.loads((DOCS / "schema" / file).read_text(encoding="utf-8"))
        expect(f"{name} and {file} want other keys", schemas[name]["required"] == ours["required"])
        expect(f"{name} has keys that {file} has not", set(schemas[name]["properties"]) <= set(ours["properties"]))
    states = json.loads((DOCS / "schema/vm.json").read_text(encoding="utf-8"))["properties"]["state"]["enum"]
    expect("states differ", set(schemas["Vm"]["properties"]["state"]["enum"]) <= set(states))


def main() -> int:
    expect("it is not OpenAPI 3.1", API["openapi"].startswith("3.1."))
    references(API, "openapi")
    operations()
    agreement()
    print("\n".join(failures) or "the description of the API is in order")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
