# SPDX-License-Identifier: GPL-2.0-or-later
# Wrong arguments exit with 2, absent things with 3, with one message and a next step, and JSON when JSON was asked for.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

for arguments in "devcie list" "device lst" "device" "device show" "device show 00:00" "device show 0000:01:00.9" \
    "group list extra" "device list -o toml" "device list --columns nope" "device list --timeout 0" "group show"; do
    # shellcheck disable=SC2086  # words
    expect_exit 2 pcivm $arguments
    expect_eq "stdout of '$arguments'" "$stdout" ""
    expect_match "stderr of '$arguments'" "$stderr" "^pcivm: [^[:cntrl:]]+
hint: [^[:cntrl:]]+$"
done
expect_exit 3 pcivm device show 0000:77:00.0
expect_exit 3 pcivm device show eth77 -o json
expect_eq "error code" "$(jq -r .error.code <<<"$stderr")" device.not_found
expect_exit 3 pcivm device list --root /nonexistent
expect_exit 0 pcivm
expect_exit 0 pcivm --version
run bash -c 'trap "" PIPE; { pcivm device list -o json; echo "$?" >code; } | true; cat code'
expect_eq "exit code behind a closed pipe" "$stdout" 141
su -s /bin/sh nobody -c true 2>/dev/null && {
    expect_exit 0 su -s /bin/sh nobody -c "pcivm device list -o name"
    expect_eq "list of a plain user" "$stdout" "$(ls "$pci")"
    nic=$(bdf e1000e)
    for change in "device bind $nic" "device release $nic" "vf create $(bdf igb) 1" "reconcile"; do
        expect_exit 6 su -s /bin/sh nobody -c "pcivm $change"
    done
    expect_eq "driver after the refusals" "$(driver_of "$nic")" e1000e
}

# A message must not be written into a file of the kernel that got the number of a closed descriptor.
run bash -c 'pcivm vf create "$1" 2 -v >&- 2>&-; echo "$?"' bash "$(bdf igb)"
defer pcivm -q vf destroy "$(bdf igb)" --yes
expect_eq "exit code with closed outputs" "$stdout" 7
expect_eq "VFs made with closed outputs" "$(<"$pci/$(bdf igb)/sriov_numvfs")" 2
expect_exit 0 pcivm vf destroy "$(bdf igb)" --yes

# On a terminal: progress comes and goes, tables are cut to its width, no colour that is not wanted.
on_terminal() { # on_terminal COLUMNS COMMAND
    script -qec "stty cols $1; $2" /dev/null </dev/null
}
begin=${EPOCHREALTIME/./}
run on_terminal 80 "pcivm vf create $(bdf igb) 7"
if ((${EPOCHREALTIME/./} - begin > 2000000)); then
    expect_match "progress" "$stdout" "making 7 VFs of $(bdf igb) \.\.\."
fi
run on_terminal 80 "pcivm -q vf destroy $(bdf igb) --yes"
expect_eq "progress with -q" "$stdout" ""
run on_terminal 80 "NO_COLOR=1 pcivm device list"
longest=$(tr -d '\r' <<<"$stdout" | awk '{ if (length > most) most = length } END { print most }')
((longest <= 80)) || fail "a line of $longest characters on a terminal of 80"
[[ $stdout != *$'\e['* ]] || fail "colour with NO_COLOR"
exit 0
