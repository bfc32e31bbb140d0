# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the emulated host, one after the other, the guests that /lab/bench/plan lists, and prints what the kernel saw.
#
# A line of the plan:  LABEL VMM KERNEL DEVICE MODE
#   VMM qemu, qemu-qboot or pcivm; KERNEL a file of /lab/l2; DEVICE none or vf; MODE time (nothing traced that costs) or count
# /lab/bench/settings has memory (MiB), cpus, deadline (seconds) and more (kernel parameters of the guest) as variables.
#
# Output, one fact per line, "KIND TEXT"; labkit/bench.py reads it:
#   fact NAME=VALUE      of the host, once
#   run LABEL MODE       what follows belongs to this run
#   trace LINE           the trace: markers start, init, end on CLOCK_MONOTONIC, resets (pcie_flr), MSI-X growth
#   exits|ioctls|maps LINE    histograms as they were at init (mode count); unmaps, maps-end LINE: at the end
#   timeline TEXT        what pcivm itself wrote, as one line
#   said LINE            of a failed run: the end of the console and of stderr
#   done CODE | failed WHY
. /lab/cases/lib.sh
. /lab/bench/settings
tracing=/sys/kernel/tracing
# After its marker the guest does nothing for so long, in which the counters are read.
cmdline="$(guest_cmdline poweroff hold=0.5) $more"

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
}

# Event and histogram of what is counted; KVM_RUN (0xae80) is no call that sets anything up.
counters=(
    'exits kvm/kvm_userspace_exit hist:keys=reason'
    'ioctls syscalls/sys_enter_ioctl hist:keys=cmd if cmd != 0xae80'
    'maps iommu/map hist:keys=size'
    'unmaps iommu/unmap hist:keys=size'
)

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

command_of() {
    local vmm=$1 kernel=$2 device=$3
    case $vmm in
    qemu | qemu-qboot)
        argv=(qemu-system-x86_64 -M q35,accel=kvm,kernel-irqchip=split -cpu host -m "${memory}M" -smp "$cpus"
            -nodefaults -no-user-config -display none -serial stdio -no-reboot
            -kernel "/lab/l2/$kernel" -initrd /lab/l2/initrd -append "$cmdline")
        [[ $vmm == qemu-qboot ]] && argv+=(-bios qboot.rom)
        [[ $device == vf ]] && argv+=(-device "vfio-pci,host=$vf")
        ;;
    pcivm)
        argv=(pcivm vm run bench --memory "${memory}M" --cpus "$cpus" --timeline timeline
            --kernel "/lab/l2/$kernel" --initrd /lab/l2/initrd --cmdline "$cmdline")
        [[ $device == vf ]] && argv+=(--device "$vf")
        ;;
    esac
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

ends_within() {
    local attempt
    for ((attempt = 0; attempt < $1 * 10; attempt++)); do
        kill -0 "$2" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

measure() {
    local label=$1 mode=$5 process code why=''
    rm -f kept.* console timeline
    : >console
    command_of "$2" "$3" "$4"
    echo >$tracing/trace
    [[ $mode == count ]] && arm ''
    # The exec replaces the shell that wrote the marker.
    (echo start >$tracing/trace_marker && exec "${argv[@]}") </dev/null >pipe 2>stderr &
    process=$!
    follow "$mode" <pipe || why="no init before its end or within $deadline s"
    ends_within 20 $process || why="${why:-does not end}"
    kill -KILL $process 2>/dev/null
    wait $process
    code=$?
    echo end >$tracing/trace_marker
    if [[ $mode == count ]]; then
        keep unmaps unmaps
        keep maps maps-end
        arm '!'
    fi

    echo "run $label $mode"
    grep -v '^#' $tracing/trace | sed 's/^/trace /'
    print_kept
    [[ -e timeline ]] && echo "timeline $(tr -s '\n' ' ' <timeline)"
    if [[ -n $why ]]; then
        tail -n 15 console stderr | tr -d '\r' | sed 's/^/said /'
        echo "failed $why (exit code $code)"
    else
        echo "done $code"
    fi
}

prepare_vf
prepare_tracing
echo "fact kernel=$(uname -r)"
echo "fact qemu=$(qemu-system-x86_64 --version | head -n 1)"
echo "fact vf=$vf"
mkfifo pipe
while read -r -u 9 label vmm kernel device mode; do
    measure "$label" "$vmm" "$kernel" "$device" "$mode"
done 9</lab/bench/plan
