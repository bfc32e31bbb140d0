# SPDX-License-Identifier: GPL-2.0-or-later
# A host with a disk comes back from a reboot and from a power cut with what was written.
# topologies: systemd
# needs: pcivm
. /lab/cases/lib.sh

case $LAB_BOOT in
0)
    systemd-analyze
    echo written >kept
    exit 42
    ;;
1)
    expect_eq "the file after a reboot" "$(<kept)" written
    echo synced >>kept
    sync kept
    exit 43
    ;;
2)
    expect_eq "the file after a power cut" "$(tr '\n' ' ' <kept)" "written synced "
    expect_exit 0 pcivm --version
    expect_eq "failed units" "$(systemctl --failed --no-legend)" ""
    systemd-analyze
    ;;
esac
