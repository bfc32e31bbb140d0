# SPDX-License-Identifier: GPL-2.0-or-later
# dmidecode, acpidump and iasl in the guest find nothing to complain about, and its kernel warns of nothing that it does
# not warn of under QEMU too.
# topologies: vtd
# needs: pcivm peer
# deadline: 400
. /lab/cases/lib.sh

# complaints: what the kernel warned of, without numbers and addresses.
complaints() {
    sed -n 's/\r$//; s/^LAB-DMESG //p' <<<"$stdout" | sed -E 's/0x[0-9a-f]+|[0-9a-f]{8,}|[0-9]+/N/g' | sort -u
}

guest_initrd "$(type -P dmidecode)" "$(type -P acpidump)" "$(type -P iasl)"
peer_run tables -initrd "$initrd"
expect_eq "exit code of QEMU" "$code" 0
complaints >peer

run pcivm vm run tables --kernel /lab/l2/vmlinux --initrd "$initrd" --memory 256M --cmdline "$(guest_cmdline tables)"
expect_eq "exit code" "$code" 0
complaints >ours
expect_eq "vendor" "$(result vendor)" pcivm
expect_eq "serial number" "$(result serial)" tables
expect_eq "exit code of dmidecode" "$(result dmidecode)" 0
expect_eq "exit code of acpidump" "$(result acpidump)" 0
expect_match "tables" "$(result tables)" 'dsdt.dsl.*facp.dsl.*mcfg.dsl'
expect_eq "complaints of dmidecode, acpidump and iasl" "$(grep -E '^LAB-(DMI|ACPIDUMP|IASL) ' <<<"$stdout")" ""
new=$(comm -23 ours peer)
[[ -z $new ]] || fail "the guest's kernel warns of what it does not under QEMU: $new"
