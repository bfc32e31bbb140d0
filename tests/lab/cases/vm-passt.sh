# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's network by passt: an address by DHCP, traffic both ways, a forwarded port, with each kind of ring and by
# INTx; of root and of a user without privileges. passt ends with the VM, however that ends, and a passt that is killed
# takes nothing but the link with it.
# topologies: vtd
# needs: pcivm passt
# deadline: 400

# passt moves into an empty root, which cannot be where the root is the kernel's own, that of an initramfs. So all of this
# runs in a mount name space whose root is another mount of the same.
if [[ -z ${has_root-} ]]; then
    export has_root=1
    exec unshare --mount bash -c 'mount --rbind / /mnt && cd /mnt && mount --move . / &&
        exec chroot . bash -c "cd \"\$1\" && exec bash \"\$0\"" "$@"' - "$0" "$PWD"
fi
. /lab/cases/lib.sh

defer eval 'kill $(jobs -p) 2>/dev/null'
modprobe dummy numdummies=0
for each in "up0 10.97.0.2/24" "srv0 10.97.1.1/24"; do
    set -- $each
    defer ip link delete "$1"
    ip link add "$1" type dummy
    ip address add "$2" dev "$1"
    ip link set "$1" up
done
ip route add default via 10.97.0.1
mkfifo hold
exec 8<>hold
dd if=/dev/urandom of=sent bs=1M count=8 status=none
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }
# Its second process has another name where the CPU has AVX2.
no_passt() { ! pgrep '^passt' >/dev/null; }

servers() {
    nc -l -p 5001 <&8 >received & # busybox nc ends with the first direction that ends
    nc -l -p 5002 <sent >/dev/null &
    nc -l -p 5003 < <(echo secret) >/dev/null &
}
# After guest_start: the rest of what the guest does with the host.
traffic() { # WHAT
    guest_says listening=1 120
    timeout 60 nc 127.0.0.1 8022 <sent
    guest_says forwarded= 60
    stdout=$(<guest.console)
    expect_eq "driver, $1" "$(result driver)" virtio_net
    expect_eq "address, $1" "$(result address)" "10.97.0.2/24 router=10.97.0.1"
    expect_eq "what the host received, $1" "$(hash received)" "$(result sent)"
    expect_eq "what the guest received, $1" "$(result got)" "$(hash sent)"
    expect_eq "what came by the forwarded port, $1" "$(result forwarded)" "$(hash sent)"
    for job in $(jobs -p); do [[ $job == "$guest" ]] || kill "$job" 2>/dev/null; done
}
ended() { # WHAT
    guest_wait
    expect_eq "exit code, $1" "$code" 0
    expect_match "the guest's script, $1" "$stdout" 'LAB-EXIT 0'
    expect_within 10 no_passt
}

servers
guest_start passt --net passt,mac=02:00:00:00:97:02,tcp=8022:2222
traffic "split"
expect_eq "MAC address" "$(result mac)" 02:00:00:00:97:02
expect_eq "checksum and segmentation offered" "$(result features | cut -c 1-2,8-16)" 00000000001
expect_eq "VIRTIO_NET_F_STATUS" "$(result features | cut -c 17)" 1
expect_eq "what the gateway's address says" "$(result loopback)" ""
ended "split"

servers
parameters=pci=nomsi
guest_start passt --net passt,ring=packed,loopback,tcp=127.0.0.1/8022:2222
traffic "packed, by INTx"
expect_eq "VIRTIO_F_RING_PACKED" "$(result features | cut -c 35)" 1
expect_eq "what the gateway's address says, loopback" "$(result loopback)" secret
ended "packed, by INTx"

# It is killed: told once, the link is down, the guest lives.
servers
parameters=lab.loses=1
guest_start passt --net passt,tcp=8022:2222
traffic "before passt is killed"
kill -KILL "$(pgrep -n '^passt')"
guest_says lives=1
ended "passt killed"
expect_eq "carrier" "$(result carrier)" 0
expect_eq "messages" "$(grep -c 'the link is down for good' guest.stderr)" 1

# Whoever of pcivm is killed, it does not stay.
parameters=
guest_start sleep --net passt
guest_says ready=1
kill -KILL "$(pgrep -P "$guest" -x pcivm)"
guest_wait
expect_within 10 no_passt
guest_start sleep --net passt
guest_says ready=1
guest_kill "$guest" guest-sleep
expect_within 10 no_passt

# A user who has /dev/kvm and a place for VMs.
user=(setpriv --reuid nobody --regid kvm --clear-groups)
defer chmod "$(stat -c %a /dev/kvm)" /dev/kvm
chmod 666 /dev/kvm
mkdir -p /run/pcivm/vm
defer chown root /run/pcivm/vm
chown nobody /run/pcivm/vm
servers
pcivm() { exec "${user[@]}" "$(type -P pcivm)" "$@"; }
guest_start passt --net passt,tcp=8022:2222
unset -f pcivm
expect_within 10 eval '[[ $(stat -c %U "/proc/$guest") == nobody ]]'
traffic "without root"
ended "without root"

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" timeout 60 pcivm vm run net --kernel /lab/l2/vmlinux --net "$3"
    expect_match "message" "$stderr" "$2"
}
refused 2 "tcp=99999 found" passt,tcp=99999
refused 2 "'tap' found" passt,tap=lab0
nc -l -p 8023 <&8 >/dev/null &
defer kill $!
expect_within 5 grep -q ':1F57 .* 0A ' /proc/net/tcp /proc/net/tcp6
refused 7 "passt did not start: .*8023" passt,tcp=127.0.0.1/8023:22
run timeout 60 env PATH=/nowhere "$(type -P pcivm)" vm run net --kernel /lab/l2/vmlinux --net passt
expect_eq "exit code without passt" "$code" 5
expect_match "message" "$stderr" "install passt"
no_passt || fail "a passt is left"
