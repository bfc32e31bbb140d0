# SPDX-License-Identifier: GPL-2.0-or-later
# What one guest leaves in the registers of a device, the next one does not find: the kernel resets it between them.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

# next_finds_nothing WHAT DEVICE BAR REGISTERS MARK: the first guest leaves MARK in all of them.
next_finds_nothing() {
    local what=$1 device=$2 fresh
    parameters="lab.bare=1 lab.bar=$3 lab.registers=$4"
    guest_run registers --device "$device"
    expect_eq "exit code" "$code" 0
    fresh=$(result registers)
    [[ -n $fresh && $fresh != *"$5"* ]] || fail "fresh registers of $what are '$fresh', wanted some without $5"
    parameters+=" lab.write=$5"
    guest_run registers --device "$device"
    expect_eq "registers of $what that the first guest wrote" "$(result registers)" "${fresh//0x????????/$5}"
    expect_eq "configuration space of $what that the first guest wrote" "$(result line)" 10
    parameters=${parameters% *}
    guest_run registers --device "$device"
    [[ $(result registers) == 0x* && $(result registers) != *"$5"* ]] || fail "the next guest finds $(result registers) in $what"
    expect_eq "configuration space of $what for the next guest" "$(result line)" 00
}

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1
# Registers that the emulated device's reset clears, and not each does: whether its receive and transmit rings are enabled;
# a drive's interrupt mask and its configuration; the addresses of a NIC's rings.
next_finds_nothing "a VF" "$(vf_bdf "$igb" 0)" 0 0x2828,0x3828 0x02000000
next_finds_nothing "a drive" "$(bdf nvme)" 0 0x0c,0x14 0x00460000
next_finds_nothing "a NIC" "$(bdf e1000e)" 0 0x2800,0x3800 0x5A5A5A00
