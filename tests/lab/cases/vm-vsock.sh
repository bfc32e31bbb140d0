# SPDX-License-Identifier: GPL-2.0-or-later
# Host and guest talk over AF_VSOCK, on connections that either makes, by MSI-X and by INTx; both sides agree on every
# byte. An address that another VM has, that is none, or for which the kernel has no vhost, is refused.
# topologies: amdvi
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run vsock --kernel /lab/l2/vmlinux --vsock "$3"
    expect_match "message" "$stderr" "$2"
}
modprobe -r vhost_vsock 2>/dev/null
[[ -e /dev/vhost-vsock ]] || refused 3 "modprobe vhost_vsock" cid=42
modprobe vhost_vsock
refused 2 "cid=2 found, 3 to 4294967294 wanted" cid=2
refused 2 "'cid=' is missing|'' found" ""
refused 2 "'port=1' found|'port' found" port=1

guest_initrd /usr/bin/perl /lab/cases/vsock.pl
dd if=/dev/urandom of=sent bs=1M count=4 status=none
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }
talk() { # INTERRUPTS [KERNEL PARAMETER]
    perl /lab/cases/vsock.pl listen 5001 <sent >received 2>listener &
    local listener=$!
    expect_within 5 grep -q listening listener
    parameters=${2:-}
    guest_start vsock --vsock cid=42
    guest_says listening=5002 100
    perl /lab/cases/vsock.pl connect 5002 42 <sent >called || fail "the host cannot connect"
    guest_wait
    wait "$listener"
    expect_eq "exit code" "$code" 0
    expect_eq "error in the guest" "$(result error)" ""
    expect_eq "what the guest got, connecting" "$(result got)" "$(hash sent)"
    expect_eq "what the host got, listening" "$(hash received)" "$(result sent)"
    expect_eq "what the guest got, listening" "$(result called)" "$(hash sent)"
    expect_eq "what the host got, connecting" "$(hash called)" "$(result sent)"
    expect_match "a port that nobody listens on" "$stdout" 'connect: Connection reset|connect: Connection refused'
    expect_match "interrupts of the guest" "$stdout" "$1.*virtio0"
}
talk PCI-MSIX
talk IO-APIC pci=nomsi

parameters=
guest_start sleep --vsock cid=42
guest_says ready=1
refused 4 "cid 42.*|another VM has this address" cid=42
