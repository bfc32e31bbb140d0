# SPDX-License-Identifier: GPL-2.0-or-later
# Twenty boots, every fifth after a power cut: each time the host is as written, before the network.
# topologies: systemd
# deadline: 120
# needs: pcivm
# soak: yes
. /lab/cases/lib.sh
. /lab/cases/boot.sh

if ((LAB_BOOT == 0)); then
    describe_host
    exit 42
elif ((LAB_BOOT == 21)); then
    expect_eq "VFs after a boot without a configuration" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 0
    exit 0
fi
expect_described
expect_before_network
expect_units_well
((LAB_BOOT % 5 != 0 || LAB_BOOT == 20)) || exit 43
((LAB_BOOT < 20)) || forget_host
exit 42
