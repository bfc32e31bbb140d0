# SPDX-License-Identifier: GPL-2.0-or-later
# A guest's own driver carries traffic both ways over a tap: by the host's kernel (vhost) and by pcivm, with each kind
# of ring, with one pair of queues and two, by MSI-X and by INTx. A tap that vanishes takes nothing with it. What cannot
# be an interface is refused.
# topologies: vtd
# needs: pcivm
# deadline: 600
. /lab/cases/lib.sh

modprobe -a tun vhost_net
mkfifo hold
exec 8<>hold
dd if=/dev/urandom of=sent bs=1M count=8 status=none
sent=$(sha256sum <sent | cut -d ' ' -f 1)

tap() { # NAME [multi_queue]
    defer eval "ip link delete '$1' 2>/dev/null"
    ip tuntap add dev "$1" mode tap ${2:+"$2"}
    ip address add 10.98.0.1/24 dev "$1"
    ip link set "$1" up
}
traffic() { # WHAT OPTIONS KERNEL-PARAMETER [vm run OPTION...]
    local what=$1 options=$2 parameter=$3
    shift 3
    nc -l -p 5001 <&8 >received & # busybox nc ends with the first direction that ends
    local receiver=$!
    nc -l -p 5002 <sent >/dev/null &
    local sender=$!
    run timeout 120 pcivm vm run net --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M \
        --cmdline "$(guest_cmdline net) $parameter" --net "$options" "$@"
    kill "$receiver" "$sender" 2>/dev/null
    wait "$receiver" "$sender"
    expect_eq "exit code, $what" "$code" 0
    expect_match "the guest's script, $what" "$stdout" 'LAB-EXIT 0'
    expect_eq "driver" "$(result driver)" virtio_net
    expect_eq "pings answered, $what" "$(result received)" 5
    expect_eq "lengths that were lost, $what" "$(result lost)" 0
    expect_eq "what the host received, $what" "$(sha256sum <received | cut -d ' ' -f 1)" "$(result sent)"
    expect_eq "what the guest received, $what" "$(result got)" "$sent"
    expect_eq "errors, $what" "$(result rx_errors)" 0
}
packed() { result features | cut -c 35; }

tap lab0
traffic "in this process" "tap=lab0,vhost=off,mac=02:00:00:00:98:02" ""
expect_eq "MAC address" "$(result mac)" 02:00:00:00:98:02
traffic "packed" "tap=lab0,ring=packed" ""
expect_eq "VIRTIO_F_RING_PACKED" "$(packed)" 1
expect_match "MAC address made up" "$(result mac)" '^02:'
traffic "in the kernel" "tap=lab0,vhost=on" ""
expect_eq "VIRTIO_F_RING_PACKED" "$(packed)" 0
traffic "by INTx" "tap=lab0,vhost=auto" pci=nomsi
expect_match "interrupts" "$stdout" 'IO-APIC.*virtio0'

tap lab1 multi_queue
ip address del 10.98.0.1/24 dev lab0
traffic "two queues" "tap=lab1,vhost=off,queues=2" "" --cpus 2
expect_eq "queues" "$(result queues)" 2
traffic "two queues in the kernel" "tap=lab1,vhost=on,queues=2" "" --cpus 2

# It is told once where frames pass pcivm, which sees it.
for vhost in off on; do
    ip address flush dev lab1
    tap "gone-$vhost"
    guest_start net-gone --net "tap=gone-$vhost,vhost=$vhost"
    guest_says before=1
    ip link delete "gone-$vhost"
    guest_wait
    expect_eq "exit code, tap gone, vhost=$vhost" "$code" 0
    expect_eq "answers from nobody" "$(result after)" 0
    expect_eq "messages, vhost=$vhost" "$(grep -c 'the tap, which is gone' <<<"$stderr")" "$([[ $vhost == off ]] && echo 1 || echo 0)"
done

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run net --kernel /lab/l2/vmlinux --net "$3"
    expect_match "message" "$stderr" "$2"
}
refused 3 "no interface 'lab7'" tap=lab7
[[ ! -e /sys/class/net/lab7 ]] || fail "an interface was made that nobody asked for"
refused 2 "no tap" tap=lo
refused 2 "one queue, 2 wanted" tap=lab0,queues=2
refused 2 "no packed rings" tap=lab0,vhost=on,ring=packed
refused 2 "no name of an interface" tap=../lab0
guest_start sleep --net tap=lab0
guest_says ready=1
refused 4 "another VM has this interface|busy" tap=lab0
