# SPDX-License-Identifier: GPL-2.0-or-later
# Seven VFs with MACs for VFIO: no native driver sees them, no program is executed, and two children carry every call
# that may block, one before and one after the host lock is taken.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
probes=$(native_probes)
count_processes pcivm -q vf create "$igb" 7 --bind vfio-pci --mac 02:11:22:33:44:%02x
expect_eq "exit code" "$code" 0
expect_eq "programs executed" "$executed" 0
((forked <= 2)) || fail "$forked processes were forked, wanted 2 at most"
expect_eq "probes by igbvf" "$(native_probes)" "$probes"
count_processes pcivm -q vf destroy "$igb" --yes
expect_eq "exit code" "$code" 0
expect_eq "programs executed" "$executed" 0
((forked <= 2)) || fail "$forked processes were forked for the removal, wanted 2 at most"
