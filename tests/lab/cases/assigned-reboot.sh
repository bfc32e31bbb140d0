# SPDX-License-Identifier: GPL-2.0-or-later
# A guest with a VF reboots: the VF is reset once for each time, works in the next boot, and RAM stays mapped.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1
vf=$(vf_bdf "$igb" 0)
count_resets

guest_start reboot --device "$vf"
reboots() { grep -c "LAB-RESULT rebooting=1" guest.console; }
twice() { [[ $(reboots) -ge 2 ]]; }
expect_within 90 twice
# The guest runs on while this counts: one reset for the start, one for each reboot that is through.
found=$(resets)
asked=$(reboots)
((found >= 2 && found <= asked + 1)) || fail "$found function level resets for a start and $asked reboots"
guest_kill "$guest" guest-reboot
free() { ! pgrep -x pcivm >/dev/null; }
expect_within 10 free
expect_exit 0 pcivm device release "$vf"
