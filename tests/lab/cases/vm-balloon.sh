# SPDX-License-Identifier: GPL-2.0-or-later
# Memory that a guest used and freed goes back to the host; never beside an assigned device.
# topologies: amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

expect_exit 5 pcivm vm run balloon --kernel /lab/l2/vmlinux --balloon --device "$(bdf e1000e)"
expect_match "message" "$stderr" "balloon beside --device"

guest_start balloon --balloon
resident() { # of the VMM, in MiB
    local child
    child=$(pgrep -P "$guest" | head -n 1)
    awk '/^Rss:/ { print int($2 / 1024) }' "/proc/$child/smaps_rollup"
}
guest_says filled=1
filled=$(resident)
guest_says freed=1
smaller() { [[ $(resident) -lt $((filled - 90)) ]]; }
expect_within 15 smaller
guest_wait
expect_eq "exit code" "$code" 0
