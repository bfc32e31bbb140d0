# SPDX-License-Identifier: GPL-2.0-or-later
# SIGTERM asks the guest to power off; a guest that reboots ends the VM when it was told so; both are success.
# topologies: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

guest_start wait-button
guest_says "LAB-RESULT ready=1" 90
kill -TERM "$guest"
guest_wait
expect_eq "exit code after SIGTERM" "$code" 0
expect_eq "the guest saw the button" "$(result button)" 1

guest_run reboot --on-reboot exit
expect_eq "exit code of a guest that reboots" "$code" 0
[[ ! -e /run/pcivm/vm/guest-reboot ]] || fail "the VM's directory is still there"
