# SPDX-License-Identifier: GPL-2.0-or-later
# OVMF boots a disk as an installer leaves it (GPT, EFI system partition, GRUB, Debian's kernel, ext4): restarts it, and
# finds the variable that the guest wrote before, after a restart of the guest and after one of the VM.
# topologies: vtd
# needs: pcivm firmware
# deadline: 240
. /lab/cases/lib.sh

cp /lab/firmware/disk disk
variables=/var/lib/pcivm/vm/uefi/variables.fd
defer rm -rf /var/lib/pcivm/vm
boot() {
    expect_exit 0 pcivm vm run uefi --firmware uefi --disk "path=$PWD/disk,format=raw" --memory 256M --cpus 2 "$@"
    expect_match "the system on the disk" "$stdout" 'LAB-EXIT 0'
    expect_eq "error in the guest" "$(result error)" ""
    expect_eq "firmware as the guest sees it" "$(result firmware)" uefi
    expect_eq "root" "$(result root)" /dev/vda3-ext4
    expect_eq "CPUs" "$(result cpus)" 2
    expect_eq "ACPI tables" "$(result tables)" APIC-DSDT-FACP-FACS-MCFG
    expect_eq "BARs that Linux had to place" "$(result unplaced)" 0
    expect_eq "serial number in SMBIOS" "$(result serial)" uefi
    expect_eq "variable" "$(result variable)" written-in-boot-1
}

# The guest restarts itself after its first boot, and powers off in the second.
boot --timeline timeline
expect_match "the first boot" "$stdout" 'LAB-RESULT variable=none'
expect_eq "boots of the disk" "$(result boot)" 2
expect_eq "boots of the machine" "$(jq .boots timeline)" 2
expect_eq "variables" "$(stat -c '%s %a' $variables)" "540672 600"
cmp -s $variables /usr/share/OVMF/OVMF_VARS_4M.fd && fail "the variables are still those of a new VM"

boot
expect_eq "boots of the disk" "$(result boot)" 3

# Without its variables it is a new machine; one with addresses for memory that may come, where no BAR is placed.
cp /usr/share/OVMF/OVMF_VARS_4M.fd fresh
expect_exit 0 pcivm vm run uefi --firmware uefi --firmware-vars fresh --disk "path=$PWD/disk,format=raw" \
    --memory 256M,max=1G
expect_eq "ACPI tables" "$(result tables)" APIC-DSDT-FACP-FACS-MCFG-SRAT
expect_eq "BARs that Linux had to place" "$(result unplaced)" 0
expect_eq "variable of a new machine" "$(result variable)" none
expect_eq "boots of the disk" "$(result boot)" 4

refused() { # CODE TEXT OPTION...
    expect_exit "$1" pcivm vm run uefi --disk "path=$PWD/disk,format=raw" "${@:3}"
    expect_match "message" "$stderr" "$2"
}
refused 2 "--firmware boots what is on the disk" --firmware uefi --kernel /lab/l2/vmlinux
refused 2 "--firmware wanted too" --kernel /lab/l2/vmlinux --firmware-vars fresh
refused 3 "No such file|no such file" --firmware /nowhere
printf x >odd
refused 2 "whole pages wanted" --firmware "$PWD/odd"
