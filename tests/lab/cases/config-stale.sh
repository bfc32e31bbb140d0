# SPDX-License-Identifier: GPL-2.0-or-later
# A plan that was shown is not carried out on a host that changed since.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
defer rm -rf /var/lib/pcivm
defer pcivm -q vf destroy "$igb" --yes
config_file host.yaml <<YAML
devices:
  lan0: {match: {bdf: $igb}, sriov: {numVfs: 2}}
YAML
expect_exit 0 pcivm plan -f host.yaml -o json
id=$(json .id)
expect_exit 0 pcivm vf create "$igb" 2
expect_exit 4 pcivm apply -f host.yaml --yes --plan "$id" -o json
document stderr
expect_eq "code" "$(jq -r .error.code <<<"$stderr")" plan.stale
expect_exit 0 pcivm vf destroy "$igb" --yes

# Between the question and its answer.
mkfifo answer
(sleep 3 && pcivm -q vf create "$igb" 1 >/dev/null && echo y) >answer &
run script -qec "pcivm apply -f host.yaml" /dev/null <answer
expect_eq "exit code" "$code" 4
expect_match "message" "$stdout" "stale"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 1
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_exit 0 pcivm apply -f host.yaml --yes --plan "$id"
expect_eq "VFs" "$(<"$pci/$igb/sriov_numvfs")" 2
