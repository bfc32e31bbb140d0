# SPDX-License-Identifier: GPL-2.0-or-later
# Each kind of thread of a VMM with a VF is made to do what its filter forbids: the VM ends, says so, and the VF is back
# with its driver and nothing is left. For diagnosis it goes on. VMs have users of their own.
# topologies: vtd
# needs: pcivm
# deadline: 600
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind host
vf=$(vf_bdf "$igb" 0)
other=$(vf_bdf "$igb" 1)
truncate -s 4M image
back() { [[ $(driver_of "$1") == igbvf ]]; }
options=(--cpus 1 --disk "path=$PWD/image,format=raw")
intrude() { perl /lab/cases/intruder.pl "$guest" "$@" >intruder.out 2>&1; }
# ended CALL THREAD: the VM, as it must after that.
ended() {
    guest_wait
    command="intruder: $1 by '$2': $(<intruder.out)"
    expect_eq "exit code" "$code" 1
    expect_match "message" "$stderr" "a system call that it never needs: '$1' in a thread '$2'"
    expect_within 10 back "$vf"
    [[ -z ${before:-} ]] || expect_eq "what is left behind" "$(left_behind)" "$before"
}

# A running guest: the loop opens a socket, a vCPU makes a VM, a disk's thread asks for a new ring.
declare -A call=([pcivm]="41 1 1" [vcpu]="16 5 44545" [io]="425 8 0") name=([pcivm]=socket [vcpu]=ioctl [io]=io_uring_setup)
for thread in pcivm vcpu io; do
    guest_start sleep --device "$vf" "${options[@]}"
    guest_says "LAB-RESULT ready=1" 90
    # shellcheck disable=SC2086  # arguments of the call
    intrude "$thread" ${call[$thread]} || fail "$(<intruder.out)"
    ended "${name[$thread]}" "$thread"
    before=$(left_behind)
done

# One that opens the device, or loads the kernel, lives for a moment at the start: it starts a program.
guest_start sleep --device "$vf" "${options[@]}"
intrude start 59 || fail "$(<intruder.out)"
ended execve start

# The one of a device that comes: it wants to be root.
guest_start sleep --device "$vf" "${options[@]}"
guest_says "LAB-RESULT ready=1" 90
pcivm attach guest-sleep "$other" >attach.out 2>&1 &
attach=$!
intrude hotplug 117 || fail "$(<intruder.out)"
wait "$attach"
ended setresuid hotplug
expect_within 10 back "$other"

# Two VMs, two users, which nobody else is; shown. For diagnosis a call is made and told, and the VM goes on: alarm(0),
# whose 0 is no event for the loop that had waited for some.
guest_start sleep --device "$vf" "${options[@]}" --seccomp log
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm show guest-sleep -o json
document
expect_eq "seccomp" "$(json .seccomp)" log
user=$(json .vmmUser)
vmm=$(json .vmmPid)
((user >= 2000000000 && user < 2000065536)) || fail "user is $user"
expect_eq "its users and groups" "$(awk '/^[UG]id:/ { print $2, $3, $4, $5 }' "/proc/$vmm/status" | sort -u)" "$user $user $user $user"
expect_eq "further groups" "$(awk '/^Groups:/ { print NF }' "/proc/$vmm/status")" 1
expect_eq "threads without a filter" "$(grep -L '^Seccomp:.2$' "/proc/$vmm"/task/*/status)" ""
expect_exit 0 pcivm vm run second --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 128M --cpus 1 --seccomp off \
    --cmdline "$(guest_cmdline sleep)" --detach
expect_exit 0 pcivm vm show second
expect_match "what is shown" "$stdout" "not filtered \(--seccomp off\)"
expect_exit 0 pcivm vm show second -o json
[[ $(json .vmmUser) != "$user" ]] || fail "both VMs are user $user"
expect_eq "filters" "$(awk '/^Seccomp:/ { print $2 }' "/proc/$(json .vmmPid)/status")" 0
expect_exit 0 pcivm vm stop second --force
intrude pcivm 37 0 &
told() { dmesg | grep -q "type=1326 .*pid=$vmm .*syscall=37 "; }
expect_within 30 told
expect_exit 0 pcivm vm show guest-sleep -o json
expect_eq "the VM goes on" "$(json .state)" running
guest_end
expect_within 10 back "$vf"
