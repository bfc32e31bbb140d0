# SPDX-License-Identifier: GPL-2.0-or-later
# A guest mounts a folder of the host that virtiofsd serves, by MSI-X beside an assigned device and by INTx, across a
# reboot of the guest; both sides agree on every byte. A daemon that is killed takes nothing but the folder with it. What
# cannot be one is refused.
# topologies: amdvi
# needs: pcivm virtiofsd
# deadline: 300
. /lab/cases/lib.sh

mkdir folder
dd if=/dev/urandom of=folder/from-host bs=1M count=8 status=none
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }
daemon() {
    rm -f socket
    virtiofsd --socket-path=socket --shared-dir="$PWD/folder" --sandbox=none --log-level=error 2>daemon.said &
    daemon=$!
    defer eval "kill $daemon 2>/dev/null"
    expect_within 10 test -S socket
}
share() { # INTERRUPTS KERNEL-PARAMETER [vm run OPTION...]
    local interrupts=$1 parameter=$2
    shift 2
    daemon
    rm -f folder/from-guest
    parameters="lab.boots=2 $parameter"
    guest_run fs --fs "tag=files,socket=socket" "$@"
    expect_eq "exit code" "$code" 0
    expect_eq "error in the guest" "$(result error)" ""
    expect_eq "boots" "$(grep -c LAB-INIT <<<"$stdout")" 2
    expect_eq "what the guest reads" "$(result read)" "$(hash folder/from-host)"
    expect_eq "what the guest wrote" "$(result wrote)" "$(hash folder/from-guest)"
    expect_match "interrupts of the guest" "$stdout" "$interrupts.*virtio0"
    expect_within 10 eval "! kill -0 $daemon 2>/dev/null"
}
share PCI-MSIX "" --device "$(bdf e1000e)"
share IO-APIC pci=nomsi

daemon
parameters="lab.wait=1"
guest_start fs --fs "tag=files,socket=$PWD/socket" --balloon
guest_says mounted=1
kill -KILL "$daemon"
guest_says alive=3
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "messages" "$(grep -c 'the daemon has closed the connection' <<<"$stderr")" 1
parameters=

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run fs --kernel /lab/l2/vmlinux --fs "$3"
    expect_match "message" "$stderr" "$2"
}
refused 3 "the daemon must run first" "tag=files,socket=$PWD/socket"
refused 3 "the daemon must run first" "tag=files,socket=/nowhere"
refused 2 "'tag=' is missing" socket=/nowhere
refused 2 "up to 36 bytes" "tag=0123456789012345678901234567890123456,socket=/nowhere"
