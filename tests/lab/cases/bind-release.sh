# SPDX-License-Identifier: GPL-2.0-or-later
# Functions of every kind go to VFIO and come back to who had them.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

there_and_back() {
    local function=$1 former=$2
    shift 2
    expect_eq "driver of $function before" "$(driver_of "$function")" "$former"
    expect_exit 0 pcivm device bind "$function" -o json "$@"
    expect_eq "changed" "$(json '.items[0].changed')" true
    expect_eq "driver of $function" "$(driver_of "$function")" vfio-pci
    [[ -c /dev/vfio/$(group_of "$function") ]] || fail "$function has no node below /dev/vfio"
    expect_exit 0 pcivm device bind "$function" -o json
    expect_eq "changed the second time" "$(json '.items[0].changed')" false
    expect_exit 0 pcivm device release "$function"
    expect_eq "driver of $function after" "$(driver_of "$function")" "$former"
    expect_eq "override of $function after" "$(<"$pci/$function/driver_override")" "(null)"
    expect_exit 0 pcivm device release "$function"
    expect_eq "driver of $function after twice" "$(driver_of "$function")" "$former"
}
there_and_back "$(bdf e1000e)" e1000e

# Its new interface is up and has the MTU of the old one.
interface=$(netdev_of "$(bdf e1000e)")
defer eval 'ip link set "$(netdev_of "$(bdf e1000e)")" down mtu 1500'
ip link set "$interface" mtu 4000 up
there_and_back "$(bdf e1000e)" e1000e --force=address
interface=$(netdev_of "$(bdf e1000e)")
expect_eq "MTU afterwards" "$(<"/sys/class/net/$interface/mtu")" 4000
expect_match "state afterwards" "$(ip link show "$interface")" '[<,]UP[,>]'
ip link set "$interface" down mtu 1500

there_and_back "$(bdf nvme)" nvme
there_and_back "$(bdf edu)" none --force=no-reset

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind host
there_and_back "$(vf_bdf "$igb" 1)" igbvf
expect_exit 0 pcivm vf destroy "$igb" --yes

# A VF that was made for VFIO has no former driver: it goes to the host's, although autoprobe stays off.
echo 0 >"$pci/$igb/sriov_drivers_autoprobe"
expect_exit 0 pcivm vf create "$igb" 1 --bind vfio-pci
vf=$(vf_bdf "$igb" 0)
expect_exit 0 pcivm device release "$vf"
expect_eq "driver of the released VF" "$(driver_of "$vf")" igbvf
expect_eq "autoprobe" "$(<"$pci/$igb/sriov_drivers_autoprobe")" 0
expect_exit 0 pcivm device bind "$vf"
expect_exit 0 pcivm device release "$vf" --driver none
expect_eq "driver of the VF released to none" "$(driver_of "$vf")" none
echo 1 >"$pci/$igb/sriov_drivers_autoprobe"

expect_exit 0 pcivm device bind "$(bdf edu)" "$(bdf e1000e)" --force=no-reset
expect_exit 0 pcivm device release "$(bdf edu)" "$(bdf e1000e)"
