# SPDX-License-Identifier: GPL-2.0-or-later
# pcivm topology has every function once, below the port that lspci shows above it, VFs below their PF, and names owners.
# topologies: vtd amdvi
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
guest_start wait-button --device "$igb/vf0"
held() { pcivm topology --json | jq -e --arg vf "$(vf_bdf "$igb" 0)" '.items[] | select(.id == $vf) | .holder == "in use"'; }
expect_within 60 held

expect_exit 0 pcivm topology -o json
expect_eq "functions" "$(json '[.items[] | select(.isFunction) | .id] | sort | join(" ")')" \
    "$(lspci -D | cut -d' ' -f1 | sort | paste -sd' ')"
expect_match "owner" "$(json ".items[] | select(.id == \"$(vf_bdf "$igb" 0)\") | .owner")" "^VM guest-wait-button .pid [0-9]+.$"
expect_eq "other VF" "$(json ".items[] | select(.id == \"$(vf_bdf "$igb" 1)\") | .holder")" "vfio, free"

# "00:01.0/01:00.0 Ethernet controller: ..."
while read -r path _; do
    self=0000:${path##*/}
    above=${path%/*}
    if [[ -e $pci/$self/physfn ]]; then
        wanted=$(basename "$(readlink "$pci/$self/physfn")")
    elif [[ $above == "$path" ]]; then
        wanted=pci0000:00
    else
        wanted=0000:${above##*/}
    fi
    expect_eq "parent of $self" "$(json ".items[] | select(.id == \"$self\") | .parent")" "$wanted"
done < <(lspci -PP)
expect_eq "ports" "$(json '[.items[] | select(.place == "root port")] | length')" "$(lspci -d 1b36:000c | wc -l)"

for form in tree dot svg html; do
    expect_exit 0 pcivm topology -o "$form"
    expect_match "$form" "$stdout" "VM guest-wait-button"
done
guest_says "LAB-RESULT ready=1" 90
kill -TERM "$guest"
guest_wait
