# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's kernel boots in both of its forms, with one processor and with several, and powers off.
# topologies: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

boot() { # KERNEL CPUS
    run pcivm vm run boot --kernel "/lab/l2/$1" --initrd /lab/l2/initrd --memory 256M --cpus "$2" \
        --cmdline "$(guest_cmdline cpus)"
    expect_eq "exit code of $1 with $2 CPUs" "$code" 0
    expect_eq "processors seen by $1" "$(result cpus)" "$2"
    expect_eq "clock of $1" "$(result clocksource)" kvm-clock
}
boot bzImage 1
boot vmlinux 4
[[ $(result memory_kb) -gt 200000 ]] || fail "the guest sees $(result memory_kb) KiB of 256 MiB"
