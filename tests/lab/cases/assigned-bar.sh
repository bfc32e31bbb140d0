# SPDX-License-Identifier: GPL-2.0-or-later
# A BAR of 8 GiB, mapped: a guest writes and reads it at the start and by hot-plug; where it has no room it is refused.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

[[ -e /lab/bin/verify ]] || fail "there is no verify: ninja -C build/release verify"
device=$(bdf ivshmem)
vm=guest-bar
bytes=$((16 << 20))
guest_initrd /lab/bin/verify
# It has no interrupts and nothing to reset.
options=(--force no-reset)
# large START: a region of 8 GiB from there, 64-bit and prefetchable.
large() {
    local first last
    read -r first last _ <<<"$1"
    ((last - first + 1 == 8 << 30 && first >= 4 << 30)) || fail "the region is $1, wanted 8 GiB above 4 GiB"
}

parameters=lab.seed=21
guest_run bar --device "$device" "${options[@]}" --timeline timeline.json
expect_eq "exit code" "$code" 0
expect_eq "error" "$(result error)" ""
expect_eq "bytes" "$(result verified)" "$bytes"
large "$(result region)"
trapped=$(jq '.exits.mmioRead + .exits.mmioWrite' timeline.json)
((trapped < 100000)) || fail "$trapped accesses trapped, wanted none of the $((bytes / 8 * 2)) to the BAR"

# The next guest has it by hot-plug.
parameters="lab.seed=22 lab.stay=1"
guest_start bar
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm attach "$vm" "$device" "${options[@]}"
guest_says "LAB-RESULT done=1" 60
stdout=$(<guest.console)
expect_eq "error after hot-plug" "$(result error)" ""
expect_eq "bytes after hot-plug" "$(result verified)" "$bytes"
large "$(result region)"
expect_exit 0 pcivm detach "$vm" "$device"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait

guest_start bar --hotplug-room 4G
guest_says "LAB-RESULT ready=1" 90
expect_exit 5 pcivm attach "$vm" "$device" "${options[@]}"
expect_match "message" "$stderr" "$device.*BAR 2"
expect_match "hint" "$stderr" "--hotplug-room 8192M"
expect_eq "driver of $device" "$(driver_of "$device")" none
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
