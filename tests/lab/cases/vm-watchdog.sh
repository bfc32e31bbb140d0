# SPDX-License-Identifier: GPL-2.0-or-later
# A guest that does not reload its watchdog, by Linux's own driver, is reset, powered off or left alone, as was asked
# for; one that does goes on. The driver is told of the reset in the next boot.
# topologies: amdvi
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

guest_run watchdog --watchdog action=reset
expect_eq "exit code" "$code" 0
expect_eq "driver" "$(result identity)" i6300ESB-timer
expect_eq "seconds" "$(result timeout)" 4
expect_eq "boots" "$(grep -c 'LAB-INIT' <<<"$stdout")" 2
expect_eq "what the second boot is told (WDIOF_CARDRESET)" "$(result bootstatus)" 32
expect_match "message" "$stderr" "watchdog ran out: the guest is reset"

guest_run watchdog --watchdog action=poweroff
expect_eq "exit code" "$code" 0
expect_eq "boots" "$(grep -c 'LAB-INIT' <<<"$stdout")" 1
expect_eq "the guest after its end" "$(result still)" ""
expect_match "message" "$stderr" "watchdog ran out: the guest is powered off"

parameters=lab.sleep=8
guest_run watchdog --watchdog action=none
expect_eq "exit code" "$code" 0
expect_match "the guest afterwards" "$stdout" "LAB-RESULT still" # the kernel may say something in the middle of it
expect_match "message" "$stderr" "watchdog ran out"

parameters=lab.feed=8
guest_run watchdog --watchdog action=reset
expect_eq "exit code" "$code" 0
expect_eq "boots" "$(grep -c 'LAB-INIT' <<<"$stdout")" 1
expect_eq "the guest that reloads it" "$(result fed)" 1
expect_eq "messages" "$(grep -c 'watchdog ran out' <<<"$stderr")" 0

expect_exit 2 pcivm vm run watchdog --kernel /lab/l2/vmlinux --watchdog action=bark
expect_match "message" "$stderr" "action=bark found, reset or poweroff or none wanted"
