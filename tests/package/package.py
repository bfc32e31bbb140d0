#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package: built, read by lintian, and installed, upgraded, removed and purged in minimal trees.

usage: package.py build|check [--all]

build   leaves build/package/SUITE/pcivm_VERSION_amd64.deb for this machine's release; --all: for every release, each
        built in a tree of its own, because the libraries' names differ between them
check   lintian, then check.sh in a minimal tree of the release; ends with "N passed, N failed"
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))
from labkit import cache, suite  # noqa: E402

PLACE = ROOT / "build/package"
OPTIONS = f"nocheck noautodbgsym parallel={os.cpu_count()}"


def package_of(release: str) -> Path:
    """The built package."""
    return _only(PLACE / release)


def _only(place: Path) -> Path:
    found = sorted(place.glob("pcivm_*_amd64.deb"))
    if len(found) != 1:
        raise cache.LabError(f"{place} has {len(found)} packages, wanted one: run ./dev package")
    return found[0]


def build(release: str) -> None:
    place = PLACE / release / "build"  # dpkg-buildpackage leaves its results beside the source
    place.mkdir(parents=True, exist_ok=True)
    source = place / "source"
    _copy_sources(source)
    log = PLACE / release / "build.log"
    print(f"building the package for {release} (log: {log.relative_to(ROOT)})", flush=True)
    if release == suite.running():
        code = _build_here(source, log)
    else:
        code = _build_in_tree(release, place, log)
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise cache.LabError(f"dpkg-buildpackage failed:\n{tail}")
    # Replaced as a whole: a lab host that boots meanwhile reads the former one to its end.
    built = _only(place)
    for old in (PLACE / release).glob("pcivm_*"):
        if old.name != built.name:
            old.unlink()
    built.replace(PLACE / release / built.name)
    print(package_of(release).relative_to(ROOT), flush=True)


def _copy_sources(target: Path) -> None:
    """The files of the work tree, and none that earlier builds left; times are kept, so that only what changed is compiled."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    kept = set(names)
    for old in [path for path in target.rglob("*") if path.is_file() and not str(path.relative_to(target)).startswith("build/")]:
        if str(old.relative_to(target)) not in kept:
            old.unlink()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def _build_here(source: Path, log: Path) -> int:
    environment = {**os.environ, "DEB_BUILD_OPTIONS": OPTIONS, "CCACHE_BASEDIR": str(source), "CCACHE_NOHASHDIR": "1"}
    with open(log, "wb") as out:
        return subprocess.run(["dpkg-buildpackage", "-b", "-us", "-uc", "-nc"], cwd=source, env=environment,
                              stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode


def _build_in_tree(release: str, place: Path, log: Path) -> int:
    objects = Path(os.environ.get("CCACHE_DIR") or Path.home() / ".cache/ccache")
    objects.mkdir(parents=True, exist_ok=True)
    tree = suite.builder(release, ["build-essential", "ccache", "lintian", *_build_depends()])
    script = place / "build.sh"
    script.write_text(f"set -e\nexport CCACHE_DIR=/objects CCACHE_BASEDIR=/package/source CCACHE_NOHASHDIR=1\n"
                      f"export DEB_BUILD_OPTIONS='{OPTIONS}'\ncd /package/source\ndpkg-buildpackage -b -us -uc -nc\n")
    return suite.run_over(tree, script, binds={"/package": place, "/objects": objects}, log=log)


def _build_depends() -> list[str]:
    """Names of Build-Depends without versions, and of alternatives the first that is no virtual name."""
    text = (ROOT / "debian/control").read_text()
    field = re.search(r"^Build-Depends:(.*?)^\S", text, re.MULTILINE | re.DOTALL).group(1)
    names = [re.sub(r"\(.*?\)|:any|<.*?>", "", entry.split("|")[0]).strip() for entry in field.split(",")]
    return ["debhelper" if name == "debhelper-compat" else name for name in names if name]


def check(release: str) -> tuple[int, int]:
    """How many checks passed and failed."""
    package = package_of(release)
    passed = 0
    failed = 0
    lintian = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", str(package)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    clean = lintian.returncode == 0
    print(f"{'ok   ' if clean else 'FAIL '} {release}: lintian\n{'' if clean else lintian.stdout}".rstrip(), flush=True)
    passed, failed = passed + clean, failed + (not clean)

    if not suite.can_run_over():
        print(f"skip  {release}: installing, upgrading, removing: nothing may be mounted here", flush=True)
        return passed, failed
    log = package.parent / "check.log"
    binds = {"/package": package.parent, "/var/cache/apt/archives": suite.downloads(release)}
    code = suite.run_over(suite.minimal(release), Path(__file__).with_name("check.sh"), f"/package/{package.name}", binds=binds, log=log)
    lines = log.read_text(errors="replace").splitlines()
    for line in lines:
        if line.startswith(("ok ", "FAIL ")):
            print(f"{line[:6]}{release}: {line[6:]}", flush=True)
    passed += sum(line.startswith("ok ") for line in lines)
    failed += sum(line.startswith("FAIL ") for line in lines)
    if code != 0:
        print("\n".join(f"    | {line}" for line in lines[-40:]))
        failed += not any(line.startswith("FAIL ") for line in lines)
    return passed, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "check"])
    parser.add_argument("--all", action="store_true", help="for every release, not only this machine's")
    arguments = parser.parse_args()
    releases = suite.SUITES if arguments.all else [suite.running()]
    try:
        if arguments.what == "build":
            for release in releases:
                build(release)
            return 0
        passed, failed = map(sum, zip(*[check(release) for release in releases]))
        print(f"{passed} passed, {failed} failed", flush=True)
        return 1 if failed else 0
    except cache.LabError as error:
        print(f"package: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
