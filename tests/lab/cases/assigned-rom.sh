# SPDX-License-Identifier: GPL-2.0-or-later
# The option ROM of a NIC: none for a guest unless it was asked for, then the device's own, or a file's, byte by byte.
# topologies: vtd
# needs: pcivm
. /lab/cases/lib.sh

device=$(bdf e1000e)
vm_rom() {
    guest_run rom --device "$device" "$@"
    expect_eq "exit code" "$code" 0
}

# As the host's kernel reads it, which the driver lets go of when it is bound.
echo 1 >"$pci/$device/rom"
cat "$pci/$device/rom" >own
echo 0 >"$pci/$device/rom"
[[ $(od -An -tx1 -N2 own) == " 55 aa" ]] || fail "the device has no ROM in this host: $(wc -c <own) bytes"

vm_rom
expect_eq "without --rom" "$(result rom)" none
vm_rom --rom "$device=device"
expect_eq "the device's own" "$(result rom)" "$(sha256sum <own | cut -d ' ' -f 1)"

# Linux reads what a header says: one image of 3 blocks (PCI Firmware 3.0, 5.1).
perl -e 'my $pcir = pack("a4v4Cx3v2C2v", "PCIR", 0x8086, 0x10d3, 0, 24, 0, 3, 0, 0, 0x80, 0);
    my $rom = pack("v", 0xaa55) . chr(3) . ("\0" x 21) . pack("v", 28) . "\0\0" . $pcir;
    print $rom, map { chr($_ * 7 & 255) } length($rom) .. 3 * 512 - 1' >made
expect_eq "bytes of the file" "$(wc -c <made)" 1536
vm_rom --rom "$device=$PWD/made"
expect_eq "the file's" "$(result rom)" "$(sha256sum <made | cut -d ' ' -f 1)"

expect_exit 2 pcivm vm run rom --kernel /lab/l2/vmlinux --rom "$device=device"
expect_match "message" "$stderr" "none of the VM's devices"
