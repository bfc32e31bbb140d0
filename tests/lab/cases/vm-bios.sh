# SPDX-License-Identifier: GPL-2.0-or-later
# SeaBIOS boots the same disk by its boot sector; the guest restarts and powers off.
# topologies: vtd
# needs: pcivm firmware
# deadline: 150
. /lab/cases/lib.sh

cp /lab/firmware/disk disk
expect_exit 0 pcivm vm run bios --firmware bios --disk "path=$PWD/disk,format=raw" --memory 256M --cpus 2 \
    --firmware-log log --timeline timeline
expect_match "the system on the disk" "$stdout" 'LAB-EXIT 0'
expect_eq "error in the guest" "$(result error)" ""
expect_eq "firmware as the guest sees it" "$(result firmware)" bios
expect_eq "root" "$(result root)" /dev/vda3-ext4
expect_eq "CPUs" "$(result cpus)" 2
expect_eq "ACPI tables" "$(result tables)" APIC-DSDT-FACP-FACS-MCFG
expect_eq "BARs that Linux had to place" "$(result unplaced)" 0
expect_eq "serial number in SMBIOS" "$(result serial)" bios
expect_eq "boots of the disk" "$(result boot)" 2
expect_eq "boots of the machine" "$(jq .boots timeline)" 2
expect_match "what the firmware says" "$(<log)" 'Found QEMU fw_cfg'
[[ ! -e /var/lib/pcivm/vm/bios ]] || fail "a BIOS keeps variables"
