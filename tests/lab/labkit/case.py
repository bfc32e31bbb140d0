# SPDX-License-Identifier: GPL-2.0-or-later
"""A test case: a bash script in cases/, with its terms in comment lines at its top.

    # What it proves, in one line.
    # topologies: vtd amdvi
    # deadline: 60              seconds, 30 when absent
    # needs: pcivm peer firmware virtiofsd passt   optional
    # console: REGEX            optional: console lines that would count as trouble, but belong to this case
    # soak: yes                 optional: a long repetition, which only `lab.py test --soak` runs
    # container: vtd            optional: hosts on which it runs once more, with LAB_BACKEND=container: devices are assigned
                                by the container there, and elsewhere by what pcivm chooses. Of a case that is for both
                                IOMMUs, an ordinary run has two of the four; `lab.py test --every-way` has all
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import topology
from .cache import LabError
from .image import LAB

FOLDER = LAB / "cases"
KEYS = ("topologies", "deadline", "needs", "console", "soak", "container")
NEEDS = {"pcivm", "peer", "firmware", "virtiofsd", "passt"}
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
    container: list[str] = field(default_factory=list)
    backend: str = "auto"

    @property
    def title(self) -> str:
        return self.name if self.backend == "auto" else f"{self.name} ({self.backend})"

    def variants(self, host: str, every_way: bool) -> list["Case"]:
        """The case as often as it is to be run on that host: in `every_way`, or each IOMMU and each back end once."""
        backends = [self.backend] + (["container"] if host in self.container else [])
        if not every_way and self.container and {"vtd", "amdvi"} <= set(self.topologies):
            by_container = "amdvi" if "amdvi" in self.container else "vtd"
            backends = ["container" if host == by_container else self.backend]
        return [replace(self, backend=backend) for backend in backends]

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
                soak=terms.get("soak") == "yes", container=terms.get("container", "").split())
    unknown = sorted((set(case.topologies) - set(topology.names())) | (set(case.container) - set(case.topologies)))
    if unknown or not case.topologies:
        raise LabError(f"{file}: topologies is '{' '.join(case.topologies)}', wanted some of "
                       f"{', '.join(topology.names())}")
    if case.needs - NEEDS:
        raise LabError(f"{file}: needs is '{' '.join(sorted(case.needs))}', wanted some of {', '.join(sorted(NEEDS))}")
    return case
