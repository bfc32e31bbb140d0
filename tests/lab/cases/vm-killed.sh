# SPDX-License-Identifier: GPL-2.0-or-later
# However a VM ends, its VF can be returned: by the supervisor when the VMM is killed, by `device release` when the
# supervisor is. Meanwhile nobody else gets the VF or the name.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
gone() { ! pgrep -x pcivm >/dev/null; }

guest_start sleep --device "$vf"
guest_says "LAB-RESULT ready=1" 90
expect_eq "driver of the VF in use" "$(driver_of "$vf")" vfio-pci
other=(--kernel /lab/l2/vmlinux --memory 128M)
expect_exit 4 pcivm vm run other "${other[@]}" --device "$vf"
expect_match "message" "$stderr" "$vf"
expect_exit 4 pcivm vm run guest-sleep "${other[@]}"
expect_match "message" "$stderr" "running"
expect_exit 4 pcivm device release "$vf"
expect_exit 4 pcivm vf destroy "$igb" --yes

pkill -KILL -P "$guest"
guest_wait
expect_eq "exit code when the VMM was killed" "$code" 1
expect_eq "driver afterwards" "$(driver_of "$vf")" igbvf

# What is to be done between two users is done although the supervisor is killed, and before anybody else has the VF.
printf '#!/bin/sh\necho "erased $1"\n[ -e %s ]\n' "$PWD/tool-works" >wipe
chmod 755 wipe
guest_start sleep --device "$vf" --on-release "$PWD/wipe"
guest_says "LAB-RESULT ready=1" 90
expect_exit 4 pcivm device release "$vf"
guest_kill "$guest" guest-sleep
expect_within 20 gone
expect_exit 5 pcivm vm run other "${other[@]}" --device "$vf"
expect_match "message" "$stderr" "wipe' must run before anybody else has it"
expect_exit 5 pcivm device release "$vf"
expect_match "message" "$stderr" "erased $vf.*$vf stays where it is, in quarantine: '.*wipe' ended with 1"
expect_eq "driver after a failure" "$(driver_of "$vf")" vfio-pci
touch tool-works
expect_exit 0 pcivm device release "$vf"
expect_eq "driver after release" "$(driver_of "$vf")" igbvf
