# SPDX-License-Identifier: GPL-2.0-or-later
# dmidecode, acpidump and iasl in the guest find nothing to complain about, and its kernel warns of nothing that it does
# not warn of under QEMU too.
# topologies: vtd
# needs: pcivm peer
# deadline: 400
. /lab/cases/lib.sh

# with_programs NAME...: the guest's initrd, with these programs and their libraries, as the file initrd.
with_programs() {
    local program file
    for program in "$@"; do
        program=$(type -P "$program") || fail "no $program here"
        for file in "$program" $(/lib64/ld-linux-x86-64.so.2 --list "$program" | grep -o '/[^ ]*'); do
            mkdir -p "files${file%/*}"
            cp -L "$file" "files$file"
        done
    done
    cp /lab/l2/initrd initrd
    (cd files && find . | cpio -o -H newc 2>/dev/null) >>initrd
}

# complaints: what the kernel warned of, without numbers and addresses.
complaints() {
    sed -n 's/\r$//; s/^LAB-DMESG //p' <<<"$stdout" | sed -E 's/0x[0-9a-f]+|[0-9a-f]{8,}|[0-9]+/N/g' | sort -u
}

with_programs dmidecode acpidump iasl
run qemu-system-x86_64 -M q35,accel=kvm,kernel-irqchip=split -cpu host -m 256 -nodefaults -no-user-config -display none \
    -serial stdio -no-reboot -kernel /lab/l2/vmlinux -initrd initrd -append "$(guest_cmdline tables)"
expect_eq "exit code of QEMU" "$code" 0
complaints >peer

run pcivm vm run tables --kernel /lab/l2/vmlinux --initrd initrd --memory 256M --cmdline "$(guest_cmdline tables)"
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
