# SPDX-License-Identifier: GPL-2.0-or-later
# What cases are written with. A case sources this file first and ends at the first expectation that fails.
#
# After each command run by `run` or `expect_exit`: $stdout, $stderr, $code and the command itself in $command.
set -u
pci=/sys/bus/pci/devices
code=0 stdout='' stderr='' command=''
deferred=()

# fail TEXT: ends the case, with the last command and all it said.
fail() {
    local frame=1
    while [[ ${BASH_SOURCE[$frame]} == */lib.sh ]]; do frame=$((frame + 1)); done
    echo "${BASH_SOURCE[$frame]##*/}:${BASH_LINENO[$frame - 1]}: $1"
    if [[ -n $command ]]; then
        echo "last command: $command"
        echo "exit code: $code"
        echo "stdout:" && printf '%s\n' "$stdout" | tail -n 60
        echo "stderr:" && printf '%s\n' "$stderr" | tail -n 40
    fi
    exit 1
}

# defer COMMAND...: runs it when the case ends, however it ends, last one first.
defer() {
    deferred+=("$(printf '%q ' "$@")")
}
run_deferred() {
    local status=$? entry
    for ((entry = ${#deferred[@]} - 1; entry >= 0; entry--)); do eval "${deferred[entry]}"; done
    exit "$status"
}
trap run_deferred EXIT

# run COMMAND...: runs it to its end and keeps what it said.
run() {
    command="$*"
    "$@" >run.stdout 2>run.stderr
    code=$?
    stdout=$(<run.stdout)
    stderr=$(<run.stderr)
}

# expect_exit CODE COMMAND...
expect_exit() {
    local wanted=$1
    shift
    run "$@"
    [[ $code == "$wanted" ]] || fail "exit code is $code, wanted $wanted"
}

# expect_eq WHAT FOUND WANTED
expect_eq() {
    [[ $2 == "$3" ]] || fail "$1 is '$2', wanted '$3'"
}

# expect_match WHAT TEXT REGEX
expect_match() {
    [[ $2 =~ $3 ]] || fail "$1 is '$2', wanted a match of '$3'"
}

# expect_within SECONDS COMMAND...: the command succeeds in that time (it is tried every tenth of a second).
expect_within() {
    local seconds=$1 attempt
    shift
    for ((attempt = 0; attempt < seconds * 10; attempt++)); do
        "$@" && return
        sleep 0.1
    done
    fail "not within $seconds s: $*"
}

# json FILTER: jq on the last command's stdout.
json() {
    jq -r "$1" <<<"$stdout" || fail "stdout is no JSON, or the filter '$1' fails"
}

# document [stdout|stderr]: what the last command said there is JSON as docs/schema has it (judged outside of the host).
document() {
    jq -c . <<<"${!1:-$stdout}" >run.document || fail "${1:-stdout} is no JSON"
    sed 's/^/DOCUMENT /' run.document
}

# emulator COMMAND...: for the monitor of the QEMU that emulates this host; devices are called dev1, dev2, ... by their
# order in the topology.
emulator() {
    echo "EMULATOR $*"
}

# kernel_vfs PF COUNT: VFs made by hand and without a driver, until the case ends.
kernel_vfs() {
    local autoprobe
    autoprobe=$(<"$pci/$1/sriov_drivers_autoprobe")
    defer eval "echo 0 >$pci/$1/sriov_numvfs; echo $autoprobe >$pci/$1/sriov_drivers_autoprobe"
    echo 0 >"$pci/$1/sriov_drivers_autoprobe"
    echo "$2" >"$pci/$1/sriov_numvfs"
}

# bdf KIND: the address of the host's device of that kind.
bdf() {
    local id found
    case $1 in
    igb) id=8086:10c9 ;;
    nvme) id=1b36:0010 ;;
    e1000e) id=8086:10d3 ;;
    edu) id=1234:11e8 ;; # the one on the root bus
    shared) id=8086:100e ;;
    ivshmem) id=1af4:1110 ;;
    rng) id=1af4:1044 ;;
    xhci) id=1033:0194 ;;
    bridge) id=1b36:000e ;;
    port) id=1b36:000c ;;
    *) fail "no device kind '$1'" ;;
    esac
    found=$(lspci -D -n -d "$id" | head -n 1)
    [[ -n $found ]] || fail "this host has no $1"
    echo "${found%% *}"
}

# vf_bdf PF INDEX: the address of a VF.
vf_bdf() {
    [[ -e $pci/$1/virtfn$2 ]] || fail "$1 has no VF $2"
    basename "$(readlink "$pci/$1/virtfn$2")"
}

# driver_of BDF: the bound driver's name, or "none".
driver_of() {
    if [[ -e $pci/$1/driver ]]; then basename "$(readlink "$pci/$1/driver")"; else echo none; fi
}

# group_of BDF: the number of its IOMMU group, or "none".
group_of() {
    if [[ -e $pci/$1/iommu_group ]]; then basename "$(readlink "$pci/$1/iommu_group")"; else echo none; fi
}

# netdev_of BDF: its first network interface.
netdev_of() {
    ls "$pci/$1/net" | head -n 1
}

# hold FILE: a process, $holder, has it open until let_go or the end of the case.
hold() {
    sleep 100 <>"$1" &
    holder=$!
    defer let_go
    expect_within 5 holds "$1"
}
# Before its exec, the child is this shell, with whatever that has as its standard input.
holds() { [[ $(<"/proc/$holder/comm") == sleep && /proc/$holder/fd/0 -ef $1 ]]; }
let_go() {
    kill "$holder" 2>/dev/null || return 0
    wait "$holder" 2>/dev/null
}

# pf_up BDF ADDRESS/LENGTH: brings the PF's interface up for the time of the case.
pf_up() {
    local interface
    interface=$(netdev_of "$1")
    defer ip address flush dev "$interface"
    defer ip link set "$interface" down
    ip address add "$2" dev "$interface"
    ip link set "$interface" up
}

# Kernel parameters that only save a guest time: self-tests, hardening and auditing that nothing here is about.
guest_fast="quiet mitigations=off init_on_alloc=0 lsm=capability audit=0 cryptomgr.notests
    initcall_blacklist=crypto_kdf108_init,init_encrypted,jent_mod_init,trace_eval_init"

# guest_cmdline SCRIPT [KEY=VALUE...]: with what $parameters adds, the kernel parameters that make the guest run guest/SCRIPT.sh.
parameters=
guest_memory=256M
guest_cmdline() {
    local script=$1 word
    shift
    # shellcheck disable=SC2086  # one space between words, whatever stands between them above
    printf '%s ' console=ttyS0 $guest_fast $parameters
    printf 'lab.run=%s' "$script"
    for word in "$@"; do printf ' lab.%s' "$word"; done
}

# guest_initrd FILE...: from now on guests have these files of the host, with the libraries that they load.
initrd=/lab/l2/initrd
guest_initrd() {
    local file loader=/usr/lib64/ld-linux-x86-64.so.2
    {
        printf '%s\n' "$loader" "$@"
        # The loader stumbles over what is linked statically.
        for file in "$@"; do grep -q "${loader#/usr}" "$file" && "$loader" --list "$file"; done 2>/dev/null | awk '$2 == "=>" { print $3 }'
    } | while read -r file; do
        file=$(readlink -f "${file%/*}")/${file##*/}
        while [[ -n $file ]]; do
            echo "${file#/}"
            file=${file%/*}
        done
    done | sort -u >initrd.files
    initrd=$PWD/initrd
    { cat /lab/l2/initrd && (cd / && cpio -o -H newc) <initrd.files 2>/dev/null; } >initrd
}

# How devices are assigned: "auto", or what `# container:` asks for. Of iommufd or container, $backend is the one that
# pcivm takes; a host without iommufd has one only.
assigned_by=(--iommu-backend "${LAB_BACKEND:-auto}")
backend=container
[[ ${LAB_BACKEND:-auto} == container || ! -e /dev/iommu ]] || backend=iommufd

# guest_run SCRIPT [pcivm vm run OPTION...]: runs a guest to its end under pcivm; its console is in $stdout.
guest_run() {
    local script=$1
    shift
    run pcivm vm run "guest-$script" --kernel /lab/l2/vmlinux --initrd "$initrd" --memory "$guest_memory" \
        --cmdline "$(guest_cmdline "$script")" "${assigned_by[@]}" "$@"
}

# guest_start SCRIPT [pcivm vm run OPTION...]: the same in the background; its console is the file guest.console, its
# process $guest.
guest_start() {
    local script=$1
    shift
    command="pcivm vm run guest-$script --cmdline '$(guest_cmdline "$script")' $*"
    : >guest.console # the child truncates it too, but what the last guest said must not be read until then
    pcivm vm run "guest-$script" --kernel /lab/l2/vmlinux --initrd "$initrd" --memory "$guest_memory" \
        --cmdline "$(guest_cmdline "$script")" "${assigned_by[@]}" "$@" >guest.console 2>guest.stderr &
    guest=$!
    defer guest_kill "$guest" "guest-$script"
}

# guest_kill PID NAME: ends a supervisor that still runs. It cannot remove the lock of its VM's name then, which the
# next VM of that name would take over.
guest_kill() {
    kill -KILL "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null
    rm -r "/run/pcivm/vm/$2"
}

# guest_says REGEX [SECONDS]: waits until the console of the guest in the background matches.
guest_says() {
    local seconds=${2:-60} attempt
    for ((attempt = 0; attempt < seconds * 5; attempt++)); do
        grep -qE "$1" guest.console && return
        kill -0 "$guest" 2>/dev/null || break
        sleep 0.2
    done
    stdout=$(<guest.console) stderr=$(<guest.stderr)
    grep -qE "$1" guest.console || fail "the guest does not say '$1' within $seconds s"
}

# guest_wait: waits for the end of the guest in the background; its console is in $stdout, its exit code in $code.
guest_wait() {
    wait "$guest"
    code=$?
    stdout=$(<guest.console) stderr=$(<guest.stderr)
}

# guest_end: stops the guest in the background, which does not care for its power button. Two signals that come at once
# are one: the second waits for the answer to the first.
guest_end() {
    kill -TERM "$guest"
    expect_within 10 grep -q "asked the guest to power off" guest.stderr
    kill -TERM "$guest"
    guest_wait
}

# http METHOD TARGET [BODY]: asks the socket of a VM, $socket, as a stranger would; the answer is in $stdout and $status.
http() {
    # shellcheck disable=SC2016  # perl's own variables
    run timeout 20 env LC_ALL=C perl -e 'my ($path, $method, $target, $body) = @ARGV;
        socket(my $s, 1, 1, 0) or die;
        connect($s, pack("S a*", 1, $path)) or die "$path: $!\n";
        syswrite $s, "$method $target HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
        my ($all, $part) = ("", ""); $all .= $part while sysread $s, $part, 65536;
        my ($head, $text) = split /\r\n\r\n/, $all, 2;
        print STDERR $head; print $text' "$socket" "$1" "$2" "${3-}"
    status=$(sed -n '1s/^HTTP\/1.1 \([0-9]*\).*/\1/p' <<<"$stderr")
}

# left_behind: what a VM that had a function may not leave on the host, to be compared.
left_behind() {
    bash /lab/state
    ls /dev/vfio /run/pcivm/* 2>/dev/null
    ls /sys/bus/pci/drivers/vfio-pci
}

# peer_run SCRIPT [qemu OPTION...]: runs a guest to its end under Debian's QEMU (`needs: peer`).
peer_run() {
    local script=$1
    shift
    run qemu-system-x86_64 -M q35,accel=kvm,kernel-irqchip=split -cpu host -m 256 -nodefaults -no-user-config \
        -display none -serial stdio -no-reboot -kernel /lab/l2/vmlinux -initrd /lab/l2/initrd \
        -append "$(guest_cmdline "$script")" "$@"
}

# result KEY: the value of the guest's line "LAB-RESULT KEY=VALUE" in $stdout.
result() {
    sed -n "s/\r$//; s/^LAB-RESULT $1=//p" <<<"$stdout" | tail -n 1
}

# vfio_calls FILE: of what `strace -f -y -e trace=ioctl,pread64,pwrite64,mmap` wrote, the calls to VFIO and iommufd of
# threads that are no CPUs of a guest, as NAME=COUNT, and total=COUNT.
vfio_calls() {
    awk '
        /KVM_RUN/ { cpu[$1]; next }
        / resumed>/ { next }
        /(ioctl|pread64|pwrite64)\([0-9]+<(anon_inode:\[vfio-device\]|\/dev\/vfio\/|\/dev\/iommu)/ ||
            /mmap\(.*<(anon_inode:\[vfio-device\]|\/dev\/vfio\/)/ {
            name = $2
            sub(/\(.*/, "", name)
            if (name == "ioctl") {
                split($0, part, ", ")
                name = part[2]
                sub(/[^A-Za-z0-9_].*/, "", name)
            }
            count[$1 " " name]++
        }
        END {
            for (key in count) {
                split(key, part, " ")
                if (part[1] in cpu) continue
                total += count[key]
                by[part[2]] += count[key]
            }
            for (name in by) print name "=" by[name]
            print "total=" total + 0
        }' "$1"
}

# native_probes: how often the native driver of an igb's VFs has seen one since boot.
native_probes() {
    dmesg | grep -c 'igbvf 0000:.*MAC Address\|igbvf 0000:.*Intel(R)'
}

# count_processes COMMAND...: as run; how many processes it and its children forked and programs they executed, but for
# itself, is in $forked and $executed.
count_processes() {
    local tracing=/sys/kernel/tracing
    echo 1 >$tracing/options/event-fork
    echo >$tracing/trace
    for event in fork exec; do echo 1 >"$tracing/events/sched/sched_process_$event/enable"; done
    command="$*"
    (echo "$BASHPID" >$tracing/set_event_pid && exec "$@") >run.stdout 2>run.stderr
    code=$?
    for event in fork exec; do echo 0 >"$tracing/events/sched/sched_process_$event/enable"; done
    echo >$tracing/set_event_pid
    echo 0 >$tracing/options/event-fork
    stdout=$(<run.stdout) stderr=$(<run.stderr)
    # What comes before its own exec is this shell's.
    forked=$(sed '0,/sched_process_exec:/d' $tracing/trace | grep -c sched_process_fork:)
    executed=$(sed '0,/sched_process_exec:/d' $tracing/trace | grep -c sched_process_exec:)
}

# host_facts: all that a configuration may change on the host, one fact per line.
host_facts() {
    local device file
    for device in "$pci"/*; do
        echo "${device##*/} driver=$(driver_of "${device##*/}")"
        for file in driver_override sriov_numvfs sriov_drivers_autoprobe reset_method d3cold_allowed power/control; do
            [[ -e $device/$file ]] && echo "${device##*/} $file=$(<"$device/$file")"
        done
    done
    # A new interface has a new number; one that was up once keeps the queueing discipline that it got then; the carrier
    # comes when it comes.
    ip -o link show | sed 's/^[0-9]*: //; s/ qdisc [a-z_]*//; s/NO-CARRIER,//; s/,LOWER_UP//; s/ state [A-Z]*//' | sort
    find /run/pcivm/journal /run/pcivm/bound /run/pcivm/adapted -type f -exec sh -c 'echo "$1"; cat "$1"' - {} \; \
        2>/dev/null
}

# config_file NAME: writes standard input, below the two lines that every configuration starts with, to NAME.
config_file() {
    { printf 'apiVersion: pcivm/v1\nkind: HostConfig\n' && cat; } >"$1"
    chmod 600 "$1"
}

# The emulated network advertises a router: an interface that is up would get a default route, and be in use.
no_routers() {
    local each
    for each in /proc/sys/net/ipv6/conf/*/accept_ra; do echo 0 >"$each"; done
}

# count_resets: from now on `resets` prints how many function level resets the kernel has made.
resets() { grep -c pcivm_flr: /sys/kernel/tracing/trace; }
count_resets() {
    local events=/sys/kernel/tracing
    if [[ ! -e $events/trace ]]; then
        mount -t tracefs none $events
        defer umount $events
    fi
    echo p:pcivm_flr pcie_flr >>$events/kprobe_events
    defer forget_resets
    : >$events/trace
    echo 1 >$events/events/kprobes/pcivm_flr/enable
}
forget_resets() {
    local events=/sys/kernel/tracing
    echo 0 >$events/events/kprobes/pcivm_flr/enable
    echo -:pcivm_flr >>$events/kprobe_events
    : >$events/trace
}
