# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty times the VMM is killed at a random moment of its life with a VF: the host is as before each time.
# topologies: vtd amdvi
# soak: yes
# needs: pcivm
# deadline: 1500
. /lab/cases/lib.sh
kills=50

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
back() { [[ $(driver_of "$vf") == igbvf ]]; }

seed=$((RANDOM * 32768 + RANDOM))
echo "seed $seed"
RANDOM=$((seed % 32768))
for ((kill = 0; kill <= kills; kill++)); do
    guest_start sleep --device "$vf"
    sleep "$((RANDOM % 5)).$((RANDOM % 10))"
    until pkill -KILL -P "$guest" -x pcivm || ! kill -0 "$guest" 2>/dev/null; do sleep 0.05; done
    guest_wait
    ((code != 0)) || fail "exit code is 0 after kill $kill"
    expect_within 10 back
    # The first one also makes what stays once made, such as /dev/vfio/vfio.
    ((kill != 0)) || before=$(left_behind)
    expect_eq "what kill $kill leaves behind" "$(left_behind)" "$before"
done
expect_exit 0 pcivm reconcile -o json
expect_eq "repairs" "$(json '.items | length')" 0
