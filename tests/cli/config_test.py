#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that describes the host, by two judges: `pcivm config validate` and docs/schema/host-config.json. What one takes
the other takes; what pcivm refuses the schema refuses where it can know. Hostile texts are refused within a second and
64 MiB. Every key has a description, and a place in docs/config.md.

usage: config_test.py PCIVM        exits 77 (skipped) without python3-jsonschema and python3-yaml
"""
import json
import pathlib
import re
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

PCIVM = sys.argv[1]
SANITIZED = b"__asan_init" in pathlib.Path(PCIVM).read_bytes()
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "schema/host-config.json").read_text(encoding="utf-8"))
HEAD = "apiVersion: pcivm/v1\nkind: HostConfig\n"
MEBIBYTE = 1 << 20
failures = 0


class Yaml12(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, to which 52:54:00:12:34:56 and 0-3 may be numbers; editors read 1.2."""


Yaml12.yaml_implicit_resolvers = {}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
Yaml12.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
Yaml12.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])


def in_device(keys: str) -> str:
    return HEAD + f"devices: {{a: {{match: {{slot: 1}}, {keys}}}}}\npools: {{p: {{}}}}\n"


def in_vf(keys: str) -> str:
    return in_device(f"sriov: {{vfs: [{{index: 0, {keys}}}]}}")


GOOD = {
    "nothing": HEAD,
    "empty maps": HEAD + "devices:\npools:\n",
    "json": '{"apiVersion": "pcivm/v1", "kind": "HostConfig", "devices": {"a": {"match": {"serial": "x y"}}}}',
    "mac of digits": HEAD + "devices: {a: {match: {permanentMac: 10:11:12:13:14:15}}}\n",
    "bdf": HEAD + "devices: {a: {match: {bdf: 01:00.0}}}\n",
    "slot as number": in_device("externallyManaged: true"),
    "index list": in_device("sriov: {vfs: [{index: [0, 2-3, \"5\"]}]}"),
    "no VFs": in_device("sriov: {numVfs: 0}"),
    "everything of a VF": in_vf("bind: host, mac: \"02:00:00:00:00:%02x\", vlan: {id: 1, qos: 2, proto: 802.1ad}, "
                                "rate: {min: 1, max: 2}, trust: true, spoofchk: false, linkState: disable, rssQuery: true, "
                                "msix: 4, guid: {node: 00:00:00:00:00:00:00:01, port: 00:00:00:00:00:00:00:02}, roce: true, "
                                "migratable: true, rateParent: none, name: vf-0, pool: p"),
    "one reset method": in_device("passthrough: {resetMethod: flr, power: on}"),
}
# name: (text, a part of the message, does the schema know?)
BAD = {
    "unknown key": (HEAD + "device: {}\n", "did you mean devices", True),
    "unknown key of a VF": (in_vf("macs: 1"), "did you mean mac", True),
    "unknown setting": (in_device("sriov: {settings: {vqs: 1}}"), "did you mean vq", True),
    "no version": ("kind: HostConfig\n", "apiVersion is missing", True),
    "other version": ("apiVersion: pcivm/v9\nkind: HostConfig\n", "wanted pcivm/v1", True),
    "yes": (in_vf("trust: yes"), "write true", True),
    "quoted boolean": (in_vf("trust: \"true\""), "is text", True),
    "octal": (in_device("sriov: {numVfs: 012}"), "octal", False),
    "hexadecimal": (in_device("sriov: {numVfs: 0x10}"), "not a decimal number", True),
    "exponent": (in_device("sriov: {numVfs: 1e3}"), "not a decimal number", True),
    "base 60": (in_device("sriov: {numVfs: 1:30}"), "not a decimal number", True),
    "too many": (in_device("sriov: {numVfs: 65536}"), "from 0 to 65535", True),
    "quoted number": (in_device("sriov: {numVfs: \"4\"}"), "is text", True),
    "number as text": (HEAD + "devices: {a: {match: {serial: 1.20}}}\n", "write \"1.20\"", False),
    "key without value": (in_device("sriov: {numVfs: }"), "nothing is given", True),
    "multicast": (in_vf("mac: 01:00:00:00:00:01"), "multicast", False),
    "permanent multicast": (HEAD + "devices: {a: {match: {permanentMac: 01:00:00:00:00:01}}}\n", "multicast", True),
    "short mac": (in_vf("mac: 02:00:00:00:00"), "not a usable MAC", True),
    "bad bdf": (HEAD + "devices: {a: {match: {bdf: 0000:01:00.8}}}\n", "malformed PCI address", True),
    "bad id": (in_device("expect: {id: 8086}"), "vendor and device", True),
    "no match": (HEAD + "devices: {a: {sriov: {}}}\n", "match is missing", True),
    "empty match": (HEAD + "devices: {a: {match: {}}}\n", "names no card", True),
    "function only": (HEAD + "devices: {a: {match: {function: 1}}}\n", "names no card", True),
    "sriov and passthrough": (in_device("sriov: {}, passthrough: {}"), "whole or by its VFs", True),
    "device name": (HEAD + "devices: {Lan_0: {match: {slot: 1}}}\n", "cannot name a device", True),
    "backwards": (in_device("sriov: {vfs: [{index: 3-0}]}"), "runs backwards", False),
    "bad index": (in_device("sriov: {vfs: [{index: 0..3}]}"), "index", True),
    "no index": (in_device("sriov: {vfs: [{bind: none}]}"), "index is missing", True),
    "overlap": (in_device("sriov: {vfs: [{index: 0-3}, {index: 3}]}"), "described here and at", False),
    "beyond numVfs": (in_device("sriov: {numVfs: 2, vfs: [{index: 2}]}"), "with numVfs 2", False),
    "pool": (in_vf("pool: q"), "not declared", False),
    "early": (in_device("passthrough: {bind: igb, early: initramfs}"), "early with bind igb", False),
    "early true": (in_device("passthrough: {early: true}"), "none of initramfs", True),
    "reset method": (in_device("passthrough: {resetMethod: [slot]}"), "none of device_specific", True),
    "method twice": (in_device("passthrough: {resetMethod: [flr, flr]}"), "named twice", True),
    "two cards": (HEAD + "devices: {a: {match: {slot: 1}}, b: {match: {slot: 1}}}\n", "described here and at", False),
    "duplicate key": (HEAD + "pools: {}\npools: {}\n", "given twice, first at", False),
    "anchor": (HEAD + "pools: &a {}\n", "an anchor", False),
    "merge": (HEAD + "pools: {p: {<<: {}}}\n", "a merge key", True),
    "second document": (HEAD + "---\n" + HEAD, "a second document", None),
    "tag": (HEAD + "pools: !!python/object:x {}\n", "a tag", None),
    "tab": (HEAD + "pools:\n\tp: {}\n", "a tab as indentation", None),
}


def repeated(piece: str, start: str = "") -> str:
    return (start + piece * (MEBIBYTE // len(piece) + 1))[:MEBIBYTE]


HOSTILE = {name: text.encode() for name, text in {
    "depth": "a: " + "[" * 100_000, "brackets": repeated("["), "braces": repeated("{"), "commas": repeated(",", "["),
    "words": repeated("a,", "{"), "keys": repeated("a:\n"), "list": repeated("- a\n"), "question marks": repeated("? "),
    "quotes": repeated("\"a\":"), "maps": repeated("{a: b}, ", "- "), "tags": repeated("- !!x y\n"),
    "aliases": repeated("- *a\n", "- &a [*a,*a]\n"), "comments": repeated("#\n"), "one word": repeated("x", "a: \""),
    "bomb": "a: &a [x,x]\n" + "".join(f"{chr(97 + i)}{i}: &{chr(97 + i)}{i} [*a,*a]\n" for i in range(20)),
    "devices": HEAD + "devices:\n" + "".join(
        f"  d{i}: {{match: {{slot: {i}}}, sriov: {{vfs: [{{index: 0-255, mac: \"02:00:00:00:00:%02x\"}}]}}}}\n"
        for i in range(6_000)),
    "unknown keys": HEAD + "".join(f"k{i}: 1\n" for i in range(45_000)),
    "ranges": HEAD + "devices:\n  a:\n    match: {slot: 1}\n    sriov:\n      vfs:\n" + "- {index: [" + "0," * 60_000 + "]}\n",
}.items()} | {"100 MB": b"a" * 100_000_000, "NUL": b"a: \0\n", "UTF-16": "a: b\n".encode("utf-16"),
              "UTF-32": "a: b\n".encode("utf-32"), "bytes": bytes(range(256)) * 4096}


def limit():
    if SANITIZED:  # its shadow memory alone is more than that
        return
    # The address space would count libraries; this counts what the program allocates.
    resource.setrlimit(resource.RLIMIT_DATA, (64 * MEBIBYTE, 64 * MEBIBYTE))
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))


def validate(text: bytes, *options: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([PCIVM, "config", "validate", "-", *options], input=text, capture_output=True, check=False,
                          timeout=60, **more)


def schema_says(text: str) -> str:
    """What the schema has against it."""
    try:
        document = yaml.load(text, Loader=Yaml12)
    except yaml.YAMLError as problem:
        return str(problem)
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    return "; ".join(error.message for error in found)


def expect(name: str, holds: bool, detail):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {name}: {detail}")


def keys_of(node, path=()):
    """Every key of the format, with what the schema says of it."""
    for key, below in node.get("properties", {}).items():
        yield path + (key,), below
        yield from keys_of(below, path + (key,))
    for part in ("items", "additionalProperties"):
        if isinstance(node.get(part), dict):
            yield from keys_of(node[part], path)
    for name, below in node.get("$defs", {}).items():
        yield from keys_of(below, (name,))


def main() -> int:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    examples = {file.name: file.read_text(encoding="utf-8") for file in sorted((DOCS / "examples").glob("*.yaml"))}
    expect("examples", len(examples) >= 5, examples)
    for name, text in {**examples, **GOOD}.items():
        outcome = validate(text.encode())
        expect(name, outcome.returncode == 0 and not outcome.stderr, outcome.stderr.decode())
        expect(f"{name}, schema", not schema_says(text), schema_says(text))
    for name, (text, message, schema_knows) in BAD.items():
        outcome = validate(text.encode())
        expect(name, outcome.returncode == 2 and message in outcome.stderr.decode() and b"<stdin>:" in outcome.stderr,
               outcome.stderr.decode())
        if schema_knows is not None:
            expect(f"{name}, schema", bool(schema_says(text)) == schema_knows, schema_says(text) or "takes it")
    for name, text in HOSTILE.items():
        outcome = validate(text, preexec_fn=limit)
        expect(f"hostile: {name}", outcome.returncode == 2, (outcome.returncode, outcome.stderr[:200]))
    manual = (DOCS / "config.md").read_text(encoding="utf-8")
    for path, about in keys_of(SCHEMA):
        expect(".".join(path), "description" in about, "the schema does not describe it")
        expect(".".join(path), f"`{path[-1]}`" in manual, "docs/config.md does not name it")
    print(f"{failures} failures" if failures else f"{len(examples) + len(GOOD)} good, {len(BAD)} bad, {len(HOSTILE)} hostile")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
