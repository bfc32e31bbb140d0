# SPDX-License-Identifier: GPL-2.0-or-later
# A guest turns 16 MSIs of a device on, and is interrupted by the vector that the device sends, masked ones later; with
# four of them, and with one, the host has as many.
# topologies: faulty
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

usb=$(bdf xhci)
parameters="lab.bare=1 memmap=64K\$0x8000000"
guest_start msi-many --device "$usb" --force no-reset
# vectors TEXT: the guest says TEXT while the host has so many interrupts for the device.
vectors() {
    guest_says "LAB-RESULT $1" 100
    expect_eq "interrupts of the host, $1" "$(grep -c 'vfio-msi\[' /proc/interrupts)" "$2"
    expect_eq "those for the device, $1" "$(ls "$pci/$usb/msi_irqs" 2>/dev/null | wc -l)" "$2"
}
vectors capable=4 0
vectors enabled=4 16
vectors enabled=2 4
vectors enabled=0 1
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "Multiple Message Enable of 7" "$(result clamped)" 4
expect_eq "interrupts by vectors 0, 1 and 2 of 16" "$(result sixteen)" "NPI=1 PIW=2 PIN=3"
expect_eq "interrupts by vectors 0, 1 and 2 of 4" "$(result four)" "NPI=1 PIW=2 PIN=3"
expect_eq "interrupts of one vector that stands for three" "$(result one)" "NPI=6 PIW=0 PIN=0"
expect_eq "interrupts while it is off" "$(result off)" "NPI=0 PIW=0 PIN=0"
grep vfio /proc/interrupts && fail "host interrupts are left"
true
