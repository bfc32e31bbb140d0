# SPDX-License-Identifier: GPL-2.0-or-later
# Wrong arguments exit with 2, absent things with 3, with one message and a next step, and JSON when JSON was asked for.
# topologies: vtd
# needs: pcivm
. /lab/cases/lib.sh

for arguments in "devcie list" "device lst" "device" "device show" "device show 00:00" "device show 0000:01:00.9" \
    "device list extra" "device list -o toml" "device list --columns nope" "device list --timeout 0" "group show"; do
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
}
exit 0
