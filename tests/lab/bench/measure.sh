# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the emulated host, one after the other, the guests that /lab/bench/plan lists, and prints what the kernel saw.
#
# A line of the plan:  LABEL VMM KERNEL DEVICE MODE [MEMORY]
#   VMM qemu, qemu-qboot, qemu-microvm or pcivm; with -iommufd behind it devices are assigned by that. KERNEL a file of /lab/l2
#   DEVICE none, vf, vfs (all there are), nvme, disk, net (by vhost), net-user (without), all (vf, disk and net)
#   MODE start (to the first KVM_RUN, of a kernel of a few KiB), time (nothing traced that costs), count, memory (of the VMM, when the guest rests), disk or net (under load),
#     pages (that the kernel gave before the first KVM_RUN), use (of an assigned device), and with the kernel vf_kernel: stages (ready, reset, ready, off), steps (the same
#     counted: what else it can do), calls (that open a device), many (a VM for each VF at once)
# /lab/bench/settings has memory (MiB), cpus, vfs (number), deadline (seconds) and more (kernel parameters of the guest) as variables.
#
# Output, one fact per line, "KIND TEXT"; labkit/bench.py reads it:
#   fact NAME=VALUE      of the host, once
#   run LABEL MODE       what follows belongs to this run
#   trace LINE           the trace: markers start, init, end on CLOCK_MONOTONIC, resets (pcie_flr), MSI-X growth
#   exits|ioctls|maps LINE    histograms as they were at init (mode count); unmaps, maps-end LINE: at the end
#   at WORD NAME LINE    histogram NAME as it was when the guest said LAB-WORD; the trace has "stage WORD"
#   timeline TEXT        what pcivm itself wrote, as one line
#   memory KEY=KB        mode memory
#   load NAME KEY=VALUE  modes disk and net: what the guest says of a load, and what grew meanwhile
#   said LINE            of a failed run: the end of the console and of stderr
#   done CODE | failed WHY
. /lab/cases/lib.sh
. /lab/bench/settings
tracing=/sys/kernel/tracing
# For each mode, what the guest runs. After its marker it does nothing for half a second, in which counters are read.
declare -A scripts=([start]=none [time]="poweroff hold=0.5" [count]="poweroff hold=0.5" [memory]=load-rest [disk]=load-disk [net]=load-net
    [use]="load-assigned hold=0.5" [pages]=none [stages]=none [steps]=none [calls]=none [many]=none)
# What vf_kernel is told, letter by letter.
declare -A letters=([stages]=ro [steps]=tmuco [calls]=o)

give_to_vfio() {
    echo vfio-pci >"$pci/$1/driver_override"
    [[ ! -e $pci/$1/driver ]] || echo "$1" >"$pci/$1/driver/unbind"
    echo "$1" >/sys/bus/pci/drivers_probe
    expect_eq "driver of $1" "$(driver_of "$1")" vfio-pci
}

prepare_functions() {
    local igb index
    igb=$(bdf igb)
    echo 0 >"$pci/$igb/sriov_drivers_autoprobe"
    echo "$vfs" >"$pci/$igb/sriov_numvfs"
    functions=()
    for ((index = 0; index < vfs; index++)); do
        functions+=("$(vf_bdf "$igb" "$index")")
        ip link set "$(netdev_of "$igb")" vf "$index" mac "02:11:22:33:44:0$index"
        give_to_vfio "${functions[index]}"
    done
    pf_up "$igb" 10.99.0.1/24
    nvme=$(lspci -D -n -d 1b36:0010 | cut -d ' ' -f 1)
    [[ -z $nvme ]] || give_to_vfio "$nvme"
}

# open_functions BDF...: opens them at once, by their own nodes, for a moment; the kernel resets each, for 0.1 s, and once
# more when it is closed. Programs that do nothing else wait for the same second. Prints the milliseconds that it took
# until the last was open, and those of the longest call.
open_functions() {
    local function at
    at=$(($(cut -d . -f 1 /proc/uptime) + 3))
    local -a processes=()
    rm -f opened
    for function in "$@"; do
        perl -e 'sub now { my $at = pack("qq"); syscall(228, 1, $at); my ($s, $ns) = unpack("qq", $at); $s * 1000 + $ns / 1e6 }
            open(my $iommu, "+<", "/dev/iommu") or die; open(my $device, "+<", "/dev/vfio/devices/$ARGV[0]") or die;
            my $bind = pack("LLlL", 16, 0, fileno($iommu), 0); select(undef, undef, undef, $ARGV[1] - now() / 1e3);
            my $start = now(); ioctl($device, 0x3b76, $bind) or die;
            printf "%.0f %.0f\n", $start, now()' "$(ls "$pci/$function/vfio-dev")" "$at" >>opened 2>/dev/null &
        processes+=($!)
    done
    wait "${processes[@]}"
    awk 'NR == 1 || $1 < first { first = $1 } $2 > last { last = $2 } $2 - $1 > longest { longest = $2 - $1 }
        END { print last - first, longest }' opened
}

# Opens and closes of VFs wait for each other in kernels without e908f58b6beb ("vfio/pci: Separate SR-IOV VF dev_set").
print_parallel_opens() {
    ((vfs > 1)) && [[ -e /dev/iommu ]] || return 0
    open_functions "${functions[0]}" >/dev/null
    echo "fact one_open=$(open_functions "${functions[0]}")"
    echo >$tracing/trace
    echo "fact all_opens=$(open_functions "${functions[@]}")"
    # Does the second reset begin before the first ends?
    echo "fact second_reset=$(sed -n 's/.*: \(pcie_flr[_end]*\): .*/\1/p' $tracing/trace | sed -n 2p)"
}

prepare_tracing() {
    echo mono >$tracing/trace_clock
    echo 'p:lab/pcie_flr pcie_flr' >$tracing/kprobe_events
    echo 'r:lab/pcie_flr_end pcie_flr' >>$tracing/kprobe_events
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
step_counters=(
    'exits kvm/kvm_userspace_exit hist:keys=reason'
    'ioctls syscalls/sys_enter_ioctl hist:keys=cmd if cmd != 0xae80'
    'maps iommu/map hist:keys=size'
    'threads raw_syscalls/sys_enter hist:keys=common_pid'
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

# mark WORD: the guest said it; what is counted is kept, of system calls those of the VMM's threads.
mark() {
    local entry name event trigger pid
    echo "stage $1" >$tracing/trace_marker
    for entry in "${counters[@]}"; do
        read -r name event trigger <<<"$entry"
        cat "$tracing/events/$event/hist" >"kept.at $1 $name"
    done
    [[ -e "kept.at $1 threads" ]] || return 0
    for pid in $(vmm_processes); do ls "/proc/$pid/task"; done | awk '
        NR == FNR { own[$1]; next } /^[{]/ { gsub(/[{},:]/, " "); if ($2 in own) sum += $NF }
        END { print "{ own: 0 } hitcount: " sum + 0 }' - "kept.at $1 threads" >sum && mv sum "kept.at $1 threads"
}

# functions_of DEVICE: what is assigned, in $assigned.
functions_of() {
    assigned=()
    case $1 in
    vf | all) assigned=("${functions[0]}") ;;
    vfs) assigned=("${functions[@]}") ;;
    nvme) assigned=("$nvme") ;;
    0*) assigned=("$1") ;;
    esac
}

# command_of VMM KERNEL DEVICE MODE: argv. QEMU's disks get an I/O thread and io_uring, the quickest that it has.
command_of() {
    local vmm=${1%-iommufd} kernel=$2 device=$3 machine=q35,kernel-irqchip=split bus=pci vhost=on cmdline function backend=container by=''
    [[ $1 != *-iommufd ]] || backend=iommufd by=,iommufd=iommufd0
    local -a assigned
    functions_of "$device"
    # shellcheck disable=SC2086  # words
    cmdline="$(guest_cmdline ${scripts[$4]}) $more"
    [[ $device == net-user ]] && vhost=off
    local file=/lab/l2/$kernel initrd=$initrd
    [[ $4 == start ]] && file=/lab/bin/machine_kernel initrd=
    [[ $4 == @(pages|stages|steps|calls|many) ]] && file=/lab/bin/vf_kernel initrd=
    if [[ $vmm == pcivm ]]; then
        # As QEMU is started here.
        argv=(pcivm vm run "bench-${device//[:.]/-}" --iommu-backend "$backend" --memory "${memory}M" --cpus "$cpus" --timeline timeline
            --kernel "$file" ${initrd:+--initrd "$initrd"} --cmdline "$cmdline")
        for function in "${assigned[@]}"; do argv+=(--device "$function"); done
        [[ $device == @(disk|all) ]] && argv+=(--disk path=/run/disk,format=raw,direct)
        [[ $device == @(net*|all) ]] && argv+=(--net "tap=lab0,vhost=$vhost")
        return
    fi
    # As its documentation starts one for speed. An assigned function needs its PCI Express bridge.
    if [[ $vmm == qemu-microvm ]]; then
        machine=microvm,x-option-roms=off,pit=off,pic=off,isa-serial=on,rtc=on bus=device
        ((!${#assigned[@]})) || machine+=,pcie=on bus=pci
    fi
    argv=(qemu-system-x86_64 -M "$machine,accel=kvm" -cpu host -m "${memory}M" -smp "$cpus"
        -nodefaults -no-user-config -display none -serial stdio
        -kernel "$file" ${initrd:+-initrd "$initrd"} -append "$cmdline")
    [[ $4 == stages ]] || argv+=(-no-reboot)
    [[ $vmm == qemu ]] || argv+=(-bios qboot.rom)
    [[ -z $by ]] || argv+=(-object iommufd,id=iommufd0)
    for function in "${assigned[@]}"; do argv+=(-device "vfio-pci,host=$function$by"); done
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

# stages MODE: vf_kernel's words, and what it is told after each; or those of a guest that needs no telling.
stages() {
    local line told=${letters[$1]:-} seen=1
    while IFS= read -r -t "$deadline" line; do
        line=${line%$'\r'}
        printf '%s\n' "$line" >>console
        if [[ $line == LAB-RESULT* ]]; then
            echo "load use ${line#LAB-RESULT }" >>said
            continue
        fi
        [[ $line =~ ^LAB-([A-Z]+) ]] || continue
        mark "${BASH_REMATCH[1]}"
        [[ $1 == calls && ${BASH_REMATCH[1]} == READY ]] && cp strace.log strace.ready
        [[ ${BASH_REMATCH[1]} == @(OFF|DONE) ]] && seen=0
        [[ ${BASH_REMATCH[1]} == RESET || -z $told ]] && continue
        # What the guest says last may come late, when its VMM has other things to do.
        echo "stage TOLD${told:0:1}" >$tracing/trace_marker
        printf '%s' "${told:0:1}" >&7
        told=${told:1}
    done
    return $seen
}

# measure_many LABEL VMM: a VM for each VF at once; `start` is before the first of them, `stage READY` when all are.
measure_many() {
    local function line why='' memory=128 ready=0
    local -a processes=()
    rm -f events stderr
    mkfifo events
    exec 6<>events
    echo >$tracing/trace
    for function in "${functions[@]}"; do
        rm -f "keys.$function"
        mkfifo "keys.$function"
        command_of "$2" vmlinux "$function" many
        [[ ${#processes[@]} == 0 ]] && echo start >$tracing/trace_marker
        "${argv[@]}" <>"keys.$function" > >(while IFS= read -r line; do [[ $line == LAB-READY* ]] && echo ready >&6; done) 2>>stderr &
        processes+=($!)
    done
    while ((ready < ${#functions[@]})) && read -r -t "$deadline" -u 6 line; do ready=$((ready + 1)); done
    echo "stage READY" >$tracing/trace_marker
    ((ready == ${#functions[@]})) || why="$ready of ${#functions[@]} VMs were ready within $deadline s"
    echo "stage TOLDo" >$tracing/trace_marker
    for function in "${functions[@]}"; do echo -n o 1<>"keys.$function"; done
    [[ -z $why ]] || kill -KILL "${processes[@]}"
    wait "${processes[@]}"
    echo end >$tracing/trace_marker
    echo "run $1 many"
    grep -v '^#' $tracing/trace | sed 's/^/trace /'
    [[ -z $why ]] || { sed 's/^/said /' stderr && echo "failed $why" && return; }
    echo "done 0"
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
    local label=$1 mode=$5 memory=${6:-$memory} process code why='' reader=follow input=/dev/null counters=("${counters[@]}")
    [[ $mode == many ]] && { measure_many "$label" "$2"; return; }
    [[ $mode == @(stages|calls) ]] && reader=stages counters=()
    [[ $mode == @(steps|use) ]] && reader=stages counters=("${step_counters[@]}")
    [[ $mode == pages ]] && reader=starts counters=('pages kmem/mm_page_alloc hist:keys=order')
    [[ $mode == start ]] && reader=starts counters=()
    [[ $mode == @(disk|net|memory) ]] && reader=loads counters=("${load_counters[@]}")
    [[ $reader == stages ]] && input=keys
    rm -f kept.* console timeline said strace.log
    read -r -t 0.01 -N 99 -u 7
    : >console >said
    command_of "$2" "$3" "$4" "$mode"
    [[ $mode == calls ]] && argv=(strace -f --seccomp-bpf -y -qq -o strace.log -e trace=ioctl,pread64,pwrite64,mmap "${argv[@]}")
    echo >$tracing/trace
    echo 1 >$tracing/events/syscalls/sys_enter_ioctl/enable
    echo 'disable_event:syscalls:sys_enter_ioctl:1' >$tracing/events/kvm/kvm_entry/trigger
    [[ $mode == time ]] || arm ''
    [[ $mode == pages ]] && echo 'disable_hist:kmem:mm_page_alloc:1' >>$tracing/events/kvm/kvm_entry/trigger
    # The exec replaces the shell that wrote the marker.
    (echo start >$tracing/trace_marker && exec "${argv[@]}") <"$input" >pipe 2>stderr &
    process=$!
    $reader "$mode" <pipe || why="no init before its end or within $deadline s"
    # After its last word the time to its end counts.
    if [[ -n $why || $reader != stages ]]; then
        ends_within 20 $process || why="${why:-does not end}"
        kill -KILL $process 2>/dev/null
    fi
    wait $process
    code=$?
    [[ $mode == pages ]] && echo '!disable_hist:kmem:mm_page_alloc:1' >>$tracing/events/kvm/kvm_entry/trigger && keep pages "at ENTRY pages"
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
    [[ $mode == calls && -z $why ]] && vfio_calls strace.ready | sed 's/^/load calls /'
    cat said
    [[ -e timeline ]] && echo "timeline $(tr -s '\n' ' ' <timeline)"
    [[ $mode == @(start|pages) && $code == 137 ]] && code=0
    if [[ -n $why ]]; then
        tail -n 15 console stderr | tr -d '\r' | sed 's/^/said /'
        echo "failed $why (exit code $code)"
    else
        echo "done $code"
    fi
}

prepare_functions
prepare_tracing
prepare_io
echo "fact kernel=$(uname -r)"
echo "fact qemu=$(qemu-system-x86_64 --version | head -n 1)"
echo "fact vf=${functions[0]}"
print_parallel_opens
mkfifo pipe keys
exec 7<>keys
while read -r -u 9 label vmm kernel device mode mebibytes; do
    measure "$label" "$vmm" "$kernel" "$device" "$mode" "$mebibytes"
done 9</lab/bench/plan
