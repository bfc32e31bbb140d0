# SPDX-License-Identifier: GPL-2.0-or-later
# Without a configuration the units change nothing and do not fail, and the boot does not wait for them.
# topologies: systemd
# needs: pcivm
. /lab/cases/lib.sh
. /lab/cases/boot.sh

case $LAB_BOOT in
0) exit 42 ;;
1)
    expect_units_well
    expect_eq "pcivm-reconcile" "$(property pcivm-reconcile.service Result)" success
    reconciled=$(property pcivm-reconcile.service ExecMainExitTimestampMonotonic)
    network=$(property network-pre.target ActiveEnterTimestampMonotonic)
    ((reconciled > 0 && network >= reconciled)) || fail "network-pre.target was reached at $network us, pcivm-reconcile was done at $reconciled us"
    expect_eq "does pcivm-boot find a configuration" "$(property pcivm-boot.service ConditionResult)" no
    expect_eq "VFs" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 0
    systemd-analyze
    ;;
esac
