# SPDX-License-Identifier: GPL-2.0-or-later
# A guest drives a device that a process serves by vfio-user, on a host without IOMMU and beside an assigned function:
# registers, mapped memory, MSI-X, DMA by mapped RAM and by messages. A server that is killed or stopped is pulled, and
# the guest lives. What is no server is refused.
# topologies: noiommu amdvi
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

[[ -e /lab/bin/user_edu ]] || fail "there is no user_edu: ninja -C build/release user_edu"
parameters="memmap=192K\$0x8000000"
serve() {
    rm -f socket
    /lab/bin/user_edu "$PWD/socket" "$@" &
    server=$!
    defer eval "kill -KILL $server 2>/dev/null"
    expect_within 10 test -S socket
}
check() {
    expect_eq "identity" "$(result identity)" 0x010000ED
    expect_eq "the inverse" "$(result inverse)" 0xEDCBA987
    expect_eq "memory, trapped and mapped" "$(result memory)" 0x11111111,0x22222222
    expect_eq "interrupts" "$(result interrupts)" 3
    expect_eq "interrupts of DMA" "$(result dma-interrupts)" 2
    [[ -n $(result random) ]] || fail "the guest does not tell what it put in RAM"
    expect_eq "what the guest has in RAM" "$(result source)" "$(result random)"
    expect_eq "what was copied" "$(result first)" "$(result source)"
    expect_eq "what was copied later" "$(result second)" "$(result source)"
    expect_eq "the status of DMA outside of RAM" "$(result outside)" 0x0000000E
}

for how in "" messages; do
    # shellcheck disable=SC2086
    serve $how
    guest_run vfio-user --user-device socket=socket
    expect_eq "exit code" "$code" 0
    check
    expect_within 10 eval "! kill -0 $server 2>/dev/null" # it ends with its client
    expect_eq "messages" "$stderr" ""
done

# lost SIGNAL TEXT [vm run OPTION...]
lost() {
    local signal=$1 text=$2
    shift 2
    serve
    parameters="memmap=192K\$0x8000000 lab.wait=1"
    guest_start vfio-user --user-device "socket=$PWD/socket" "$@"
    guest_says ready=1 120
    kill "-$signal" "$server"
    guest_says device= 60
    guest_wait
    kill -KILL "$server" 2>/dev/null
    expect_eq "exit code" "$code" 0
    check
    expect_eq "messages" "$(grep -c "vfio-user '.*/socket': $text" <<<"$stderr")" 1
    expect_eq "what the guest reads afterwards" "$(result alive)" 0xFFFFFFFF
}
lost KILL "the server has closed the connection"
expect_eq "the device in the guest" "$(result device)" gone

if [[ -e /sys/class/iommu && -n $(ls /sys/class/iommu) ]]; then
    lost KILL "the server has closed the connection" --device "$(bdf e1000e)"
    expect_eq "the device in the guest" "$(result device)" gone
fi

refused() { # CODE TEXT OPTION
    expect_exit "$1" pcivm vm run guest --kernel /lab/l2/vmlinux --user-device "$3"
    expect_match "message" "$stderr" "$2"
}
refused 3 "connect '/nowhere'.*the server must run first" socket=/nowhere
refused 2 "socket= wanted" path=/nowhere
serve
kill -STOP "$server"
refused 8 "the server does not answer" "socket=$PWD/socket"
