# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the emulated host, one after the other, the guests that /lab/bench/plan lists, and prints what the kernel saw.
#
# A line of the plan:  LABEL VMM KERNEL DEVICE MODE
#   VMM qemu, qemu-qboot, qemu-microvm or pcivm; KERNEL a file of /lab/l2
#   DEVICE none, vf, disk, net (by vhost), net-user (without), all (vf, disk and net)
#   MODE start (to the first KVM_RUN, of a kernel of a few KiB), time (nothing traced that costs), count, memory (of the VMM, when the guest rests), disk or net (under load)
# /lab/bench/settings has memory (MiB), cpus, deadline (seconds) and more (kernel parameters of the guest) as variables.
#
# Output, one fact per line, "KIND TEXT"; labkit/bench.py reads it:
#   fact NAME=VALUE      of the host, once
#   run LABEL MODE       what follows belongs to this run
#   trace LINE           the trace: markers start, init, end on CLOCK_MONOTONIC, resets (pcie_flr), MSI-X growth
#   exits|ioctls|maps LINE    histograms as they were at init (mode count); unmaps, maps-end LINE: at the end
#   timeline TEXT        what pcivm itself wrote, as one line
#   memory KEY=KB        mode memory
#   load NAME KEY=VALUE  modes disk and net: what the guest says of a load, and what grew meanwhile
#   said LINE            of a failed run: the end of the console and of stderr
#   done CODE | failed WHY
. /lab/cases/lib.sh
. /lab/bench/settings
tracing=/sys/kernel/tracing
# For each mode, what the guest runs. After its marker it does nothing for half a second, in which counters are read.
declare -A scripts=([start]=none [time]="poweroff hold=0.5" [count]="poweroff hold=0.5" [memory]=load-rest [disk]=load-disk [net]=load-net)

prepare_vf() {
    local igb
    igb=$(bdf igb)
    echo 0 >"$pci/$igb/sriov_drivers_autoprobe"
    echo 1 >"$pci/$igb/sriov_numvfs"
    vf=$(vf_bdf "$igb" 0)
    echo vfio-pci >"$pci/$vf/driver_override"
    echo "$vf" >/sys/bus/pci/drivers_probe
    expect_eq "driver of the VF" "$(driver_of "$vf")" vfio-pci
}

prepare_tracing() {
    echo mono >$tracing/trace_clock
    echo 'p:lab/pcie_flr pcie_flr' >$tracing/kprobe_events
    echo 'r:lab/msix_dyn pci_msix_can_alloc_dyn ret=$retval:u8' >>$tracing/kprobe_events
    echo 1 >$tracing/events/lab/enable
    # For the first time that a vCPU is entered: the call before it, of which no more is told after it.
    echo 'cmd == 0xae80' >$tracing/events/syscalls/sys_enter_ioctl/filter
}

# What the guests with a disk, a network and a load need.
prepare_io() {
    modprobe -a tun vhost_net
    ip tuntap add dev lab0 mode tap
    ip address add 10.98.0.1/24 dev lab0
    ip link set lab0 up
    guest_initrd /lab/bin/load
    # On a tmpfs, so that no device of the emulated host is measured.
    dd if=/dev/urandom of=/run/disk bs=1M count=64 status=none
    load serve 5001 >/dev/null &
    defer kill $!
}

# Event and histogram of what is counted; KVM_RUN (0xae80) is no call that sets anything up.
counters=(
    'exits kvm/kvm_userspace_exit hist:keys=reason'
    'ioctls syscalls/sys_enter_ioctl hist:keys=cmd if cmd != 0xae80'
    'maps iommu/map hist:keys=size'
    'unmaps iommu/unmap hist:keys=size'
)
load_counters=(
    'exits kvm/kvm_userspace_exit hist:keys=reason'
    'calls raw_syscalls/sys_enter hist:keys=id'
)

# vmm_processes: the VMM and what it started.
vmm_processes() {
    echo "$process"
    pgrep -P "$process"
}

# Everything but what is as large as guest RAM; a page that two processes share counts once.
print_memory() {
    local pid
    for pid in $(vmm_processes); do cat "/proc/$pid/smaps"; done | awk -v ram=$((memory * 900)) '
        /^Size:/ { counts = $2 < ram } /^Pss:/ && counts { pss += $2 } /^Rss:/ && counts { rss += $2 }
        END { print "memory pss=" pss; print "memory rss=" rss }'
    awk '/^SecPageTables/ { print "memory sec_page_tables=" $2 }' /proc/meminfo
}

# load_figures: calls of all processes, exits, and hundredths of a second of the VMM's and vhost's threads.
load_figures() {
    local entry name event trigger pid
    for entry in "${load_counters[@]}"; do
        read -r name event trigger <<<"$entry"
        echo "$name=$(sed -n 's/^ *Hits: //p' "$tracing/events/$event/hist")"
    done
    for pid in $(vmm_processes); do cut -d ' ' -f 14,15 "/proc/$pid/stat"; done |
        awk '{ n += $1 + $2 } END { print "ticks=" n }'
}

# arm ADD: each counter from zero on (ADD empty), or removed (ADD is "!").
arm() {
    local entry name event trigger
    for entry in "${counters[@]}"; do
        read -r name event trigger <<<"$entry"
        echo "$1$trigger" >"$tracing/events/$event/trigger"
    done
}

# keep COUNTER AS: its state now, printed later, because printing takes time.
keep() {
    local entry name event trigger
    for entry in "${counters[@]}"; do
        read -r name event trigger <<<"$entry"
        [[ $name == "$1" ]] && cat "$tracing/events/$event/hist" >"kept.$2"
    done
}

print_kept() {
    local file
    for file in kept.*; do
        [[ -e $file ]] && sed -n "/^{\|Hits:/ s/^ */${file#kept.} /p" "$file"
    done
}

# command_of VMM KERNEL DEVICE MODE: argv. QEMU's disks get an I/O thread and io_uring, the quickest that it has.
command_of() {
    local vmm=$1 kernel=$2 device=$3 machine=q35,kernel-irqchip=split bus=pci vhost=on cmdline
    # shellcheck disable=SC2086  # words
    cmdline="$(guest_cmdline ${scripts[$4]}) $more"
    [[ $device == net-user ]] && vhost=off
    local file=/lab/l2/$kernel initrd=$initrd
    [[ $4 == start ]] && file=/lab/bin/machine_kernel initrd=
    if [[ $vmm == pcivm ]]; then
        # As QEMU is started here.
        argv=(pcivm vm run bench --iommu-backend container --memory "${memory}M" --cpus "$cpus" --timeline timeline
            --kernel "$file" ${initrd:+--initrd "$initrd"} --cmdline "$cmdline")
        [[ $device == @(vf|all) ]] && argv+=(--device "$vf")
        [[ $device == @(disk|all) ]] && argv+=(--disk path=/run/disk,format=raw,direct)
        [[ $device == @(net*|all) ]] && argv+=(--net "tap=lab0,vhost=$vhost")
        return
    fi
    # As its documentation starts one for speed. An assigned function needs its PCI Express bridge.
    if [[ $vmm == qemu-microvm ]]; then
        machine=microvm,x-option-roms=off,pit=off,pic=off,isa-serial=on,rtc=on bus=device
        [[ $device == @(vf|all) ]] && machine+=,pcie=on bus=pci
    fi
    argv=(qemu-system-x86_64 -M "$machine,accel=kvm" -cpu host -m "${memory}M" -smp "$cpus"
        -nodefaults -no-user-config -display none -serial stdio -no-reboot
        -kernel "$file" ${initrd:+-initrd "$initrd"} -append "$cmdline")
    [[ $vmm == qemu ]] || argv+=(-bios qboot.rom)
    [[ $device == @(vf|all) ]] && argv+=(-device "vfio-pci,host=$vf")
    [[ $device == @(disk|all) ]] && argv+=(-object iothread,id=io0
        -drive file=/run/disk,format=raw,if=none,id=d0,cache=none,aio=io_uring
        -device "virtio-blk-$bus,drive=d0,iothread=io0")
    [[ $device == @(net*|all) ]] && argv+=(-netdev "tap,id=n0,ifname=lab0,script=no,downscript=no,vhost=$vhost"
        -device "virtio-net-$bus,netdev=n0")
    return 0
}

# follow MODE: reads the console to its end, notes when init speaks. Fails when that does not happen.
follow() {
    local line seen=1
    while IFS= read -r -t "$deadline" line; do
        printf '%s\n' "$line" >>console
        [[ $seen == 1 && $line == *LAB-INIT* ]] || continue
        echo init >$tracing/trace_marker
        seen=0
        [[ $1 == count ]] || continue
        keep exits exits
        keep ioctls ioctls
        keep maps maps
    done
    return $seen
}

# starts: until a vCPU has been entered.
starts() {
    local attempt
    for ((attempt = 0; attempt < deadline * 10; attempt++)); do
        if grep -q sys_ioctl $tracing/trace; then
            kill -KILL "$process"
            return 0
        fi
        sleep 0.1
    done
    return 1
}

# loads: the same, for a guest that is under load or rests.
loads() {
    local line name='' seen=1
    while IFS= read -r -t "$deadline" line; do
        line=${line%$'\r'}
        printf '%s\n' "$line" >>console
        case $line in
        *LAB-INIT*) seen=0 ;;
        *LAB-RESULT\ begin=*) name=${line##*=} && load_figures >before ;;
        *LAB-RESULT\ end=*)
            load_figures | paste -d ' ' before - | sed 's/=/ /g' | awk -v n="$name" '{ print "load " n " " $1 "=" $4 - $2 }' >>said
            name=''
            ;;
        *LAB-RESULT\ rest=*) print_memory >>said ;;
        *LAB-RESULT\ error=*) seen=1 ;;
        *LAB-RESULT*) echo "load $name ${line##*LAB-RESULT }" >>said ;;
        esac
    done
    return $seen
}

ends_within() {
    local attempt
    for ((attempt = 0; attempt < $1 * 10; attempt++)); do
        kill -0 "$2" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

measure() {
    local label=$1 mode=$5 process code why='' reader=follow counters=("${counters[@]}")
    [[ $mode == start ]] && reader=starts counters=()
    [[ $mode == @(disk|net|memory) ]] && reader=loads counters=("${load_counters[@]}")
    rm -f kept.* console timeline said
    : >console >said
    command_of "$2" "$3" "$4" "$mode"
    echo >$tracing/trace
    echo 1 >$tracing/events/syscalls/sys_enter_ioctl/enable
    echo 'disable_event:syscalls:sys_enter_ioctl:1' >$tracing/events/kvm/kvm_entry/trigger
    [[ $mode == time ]] || arm ''
    # The exec replaces the shell that wrote the marker.
    (echo start >$tracing/trace_marker && exec "${argv[@]}") </dev/null >pipe 2>stderr &
    process=$!
    $reader "$mode" <pipe || why="no init before its end or within $deadline s"
    ends_within 20 $process || why="${why:-does not end}"
    kill -KILL $process 2>/dev/null
    wait $process
    code=$?
    echo end >$tracing/trace_marker
    if [[ $mode == count ]]; then
        keep unmaps unmaps
        keep maps maps-end
    fi
    [[ $mode == time ]] || arm '!'
    echo '!disable_event:syscalls:sys_enter_ioctl:1' >$tracing/events/kvm/kvm_entry/trigger

    echo "run $label $mode"
    grep -v '^#' $tracing/trace | sed 's/^/trace /'
    print_kept
    cat said
    [[ -e timeline ]] && echo "timeline $(tr -s '\n' ' ' <timeline)"
    [[ $mode == start && $code == 137 ]] && code=0
    if [[ -n $why ]]; then
        tail -n 15 console stderr | tr -d '\r' | sed 's/^/said /'
        echo "failed $why (exit code $code)"
    else
        echo "done $code"
    fi
}

prepare_vf
prepare_tracing
prepare_io
echo "fact kernel=$(uname -r)"
echo "fact qemu=$(qemu-system-x86_64 --version | head -n 1)"
echo "fact vf=$vf"
mkfifo pipe
while read -r -u 9 label vmm kernel device mode; do
    measure "$label" "$vmm" "$kernel" "$device" "$mode"
done 9</lab/bench/plan
