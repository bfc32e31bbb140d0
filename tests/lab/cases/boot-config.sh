# SPDX-License-Identifier: GPL-2.0-or-later
# Write the file, reboot: VFs are there, set up and bound before the network; igb unloaded and loaded: so they are again.
# topologies: systemd
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh
. /lab/cases/boot.sh

case $LAB_BOOT in
0)
    describe_host
    exit 42
    ;;
1)
    expect_described
    expect_before_network
    expect_units_well
    for index in 0 1 2; do
        expect_eq "what igbvf said of VF $index" "$(dmesg | grep "igbvf $(vf_bdf "$(bdf igb)" $index)")" ""
    done
    expect_match "the NIC's address" "$(ip -4 -o address show dev "$(netdev_of "$(bdf igb)")")" '10\.98\.0\.1/24'
    modprobe -r igbvf
    modprobe -r igb || fail "igb cannot be unloaded"
    [[ $(driver_of "$(bdf igb)") == none ]] || fail "igb is still there"
    modprobe -a igb igbvf
    expect_described_within 60
    forget_host
    exit 42
    ;;
2)
    expect_eq "VFs after a boot without a configuration" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 0
    expect_units_well
    ;;
esac
