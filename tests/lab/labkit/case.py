# SPDX-License-Identifier: GPL-2.0-or-later
"""A test case: a bash script in cases/, with its terms in comment lines at its top.

    # What it proves, in one line.
    # topologies: vtd amdvi
    # deadline: 60              seconds, 30 when absent
    # needs: pcivm peer firmware virtiofsd   optional
    # console: REGEX            optional: console lines that would count as trouble, but belong to this case
    # soak: yes                 optional: a long repetition, which only `lab.py test --soak` runs
"""

import re
from dataclasses import dataclass
from pathlib import Path

from . import topology
from .cache import LabError
from .image import LAB

FOLDER = LAB / "cases"
KEYS = ("topologies", "deadline", "needs", "console", "soak")
NEEDS = {"pcivm", "peer", "firmware", "virtiofsd"}
LIBRARIES = {"lib.sh", "random.sh", "boot.sh"}  # sourced by cases


@dataclass
class Case:
    name: str
    about: str
    topologies: list[str]
    deadline: float
    needs: set[str]
    console: re.Pattern | None
    soak: bool

    @property
    def script(self) -> str:
        return f"/lab/cases/{self.name}.sh"


def load_all() -> list[Case]:
    return [_load(file) for file in sorted(FOLDER.rglob("*.sh")) if file.name not in LIBRARIES]


def _load(file: Path) -> Case:
    terms = {}
    about = ""
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        key, found, value = line.lstrip("# ").partition(": ")
        if found and key in KEYS:
            terms[key] = value.strip()
        elif "SPDX" not in line and not about:
            about = line.lstrip("# ")
    case = Case(name=str(file.relative_to(FOLDER).with_suffix("")), about=about,
                topologies=terms.get("topologies", "").split(), deadline=float(terms.get("deadline", "30")),
                needs=set(terms.get("needs", "").split()),
                console=re.compile(terms["console"]) if "console" in terms else None,
                soak=terms.get("soak") == "yes")
    unknown = sorted(set(case.topologies) - set(topology.names()))
    if unknown or not case.topologies:
        raise LabError(f"{file}: topologies is '{' '.join(case.topologies)}', wanted some of "
                       f"{', '.join(topology.names())}")
    if case.needs - NEEDS:
        raise LabError(f"{file}: needs is '{' '.join(sorted(case.needs))}', wanted some of {', '.join(sorted(NEEDS))}")
    return case
