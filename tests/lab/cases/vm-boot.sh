# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's kernel boots in both of its forms, with 1, 2 and 8 processors, which hang together as asked, and powers off.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

boot() { # KERNEL CPUS [OPTION...]
    run pcivm vm run boot --kernel "/lab/l2/$1" --initrd /lab/l2/initrd --memory 256M --cpus "$2" \
        --cmdline "$(guest_cmdline cpus)" "${@:3}"
    expect_eq "exit code of $1 with $2 CPUs" "$code" 0
    expect_eq "processors seen by $1" "$(result cpus)" "$2"
    expect_eq "clock of $1" "$(result clocksource)" kvm-clock
}
boot bzImage 1
grep -qw avx2 <<<"$(result flags)" || fail "no avx2: nothing can be taken away"
boot vmlinux 2 --cpu host,-avx --pin 0-1
expect_eq "sockets" "$(result sockets)" 1
! grep -qwE 'avx|avx2|fma' <<<"$(result flags)" || fail "avx, or what needs it, is still there"
boot vmlinux 8 --topology sockets=2,threads=2
expect_eq "sockets of 8 CPUs" "$(result sockets)" 2
expect_eq "threads of the first core" "$(result siblings)" 0-1
[[ $(result memory_kb) -gt 200000 ]] || fail "the guest sees $(result memory_kb) KiB of 256 MiB"

# Without ACPI, by the tables of the MultiProcessor Specification.
run pcivm vm run boot --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --cpus 2 --on-reboot exit \
    --cmdline "$(guest_cmdline mp) acpi=off reboot=k"
expect_eq "exit code without ACPI" "$code" 0
expect_eq "processors without ACPI" "$(result cpus)" 2
expect_eq "interrupt controller of the serial port without ACPI" "$(result controller)" IO-APIC
