# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's own driver finds the virtio random number device, and reads from it by MSI-X and by INTx.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

read_random() { # INTERRUPT [KERNEL PARAMETER...]
    local interrupt=$1
    shift
    run pcivm vm run rng --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --rng \
        --cmdline "$(guest_cmdline rng) $*"
    expect_eq "exit code" "$code" 0
    expect_eq "source of random numbers" "$(result rng)" virtio_rng.0
    expect_eq "bytes read" "$(result bytes)" 8192
    expect_eq "two readings differ" "$(result differ)" 1
    expect_match "interrupts of the guest" "$stdout" "$interrupt.*virtio0"
}
read_random PCI-MSIX
read_random IO-APIC pci=nomsi
