# SPDX-License-Identifier: GPL-2.0-or-later
# What the commands print with -o json on real devices is as docs/schema says, and -o yaml is made of the same keys.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

# Every list, and the reports that need no argument: a new one is judged by itself.
everything() {
    pcivm __tree | jq -r '.commands[] | .name as $group
        | if .commands == [] then select(.name | IN("doctor", "topology", "reconcile")).name
          else .commands[] | select(.name == "list") | "\($group) list" end'
}
judge() { # judge COMMAND...: each one a line of words
    local each
    for each in "$@"; do
        # shellcheck disable=SC2086  # words
        run pcivm $each -o json
        [[ $code == [0-5] ]] || fail "exit code is $code"
        document
    done
}
igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci -o json
document
vf=$(vf_bdf "$igb" 0)
shown=()
for kind in igb nvme e1000e edu shared ivshmem bridge port; do shown+=("device show $(bdf "$kind")"); done
mapfile -t lists < <(everything)
((${#lists[@]} >= 5)) || fail "only these commands: ${lists[*]}"
judge "${lists[@]}" "${shown[@]}" "device show $vf" "vf show $vf" "group show $vf" "vf destroy $igb --dry-run" \
    "device release $vf --dry-run" "device bind $vf"
expect_exit 3 pcivm device show 0000:77:00.0 -o json
document stderr
expect_exit 0 pcivm device show "$vf" -o yaml
expect_eq "address in YAML" "$(sed -n 's/^address: //p' <<<"$stdout")" "\"$vf\""
