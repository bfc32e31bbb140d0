# SPDX-License-Identifier: GPL-2.0-or-later
# VFs of a PF that is on vfio-pci itself: made by vfio-pci, opened only with the VF token of the PF and after it. The
# token is in no output.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

igb=$(bdf igb)
parameter=/sys/module/vfio_pci/parameters/enable_sriov
token=/run/pcivm/vf-token/$igb
other=(--kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 128M)
expect_exit 0 pcivm device bind "$igb"
defer pcivm -q device release "$igb"
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm device show "$igb" -o json
document
expect_eq "has a token before it is needed" "$(json .hasVfToken)" false

expect_exit 7 pcivm vf create "$igb" 2
expect_match "message" "$stderr" "enable_sriov, and that is off"
expect_match "hint" "$stderr" "echo 1 >$parameter"
former=$(<$parameter)
defer eval "echo $former >$parameter"
echo 1 >$parameter
expect_exit 5 pcivm vf create "$igb" 2 --bind host
expect_exit 5 pcivm vf create "$igb" 2 --mac 02:11:22:33:44:%02x
expect_exit 0 pcivm vf create "$igb" 2
expect_match "note" "$stderr" "nobody has $igb open"
vf=$(vf_bdf "$igb" 1)
expect_eq "driver of the VF" "$(driver_of "$vf")" vfio-pci
expect_exit 4 pcivm device release "$igb"
expect_match "message" "$stderr" "has 2 virtual functions"
expect_exit 0 pcivm device show "$igb" -o json
document
expect_eq "has a token" "$(json .hasVfToken)" true
expect_eq "mode of the token" "$(stat -c %a "$token")" 600
expect_match "token" "$(<"$token")" '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'

# Nobody has told the kernel the token yet.
expect_exit 6 pcivm vm run early "${other[@]}" --device "$vf"
expect_match "hint" "$stderr" "start the VM that has the PF first"

guest_start sleep --device "$igb"
guest_says "LAB-RESULT ready=1" 90
command="a second VM with the VF"
pcivm vm run second "${other[@]}" --cmdline "$(guest_cmdline poweroff)" --device "$vf" >second.console 2>second.stderr
code=$? stdout=$(<second.console) stderr=$(<second.stderr)
expect_eq "exit code of a VM with the VF" "$code" 0
[[ $stdout == *LAB-INIT* ]] || fail "its guest did not start"

kept=$(<"$token")
cat /proc/sys/kernel/random/uuid >"$token"
expect_exit 6 pcivm vm run wrong "${other[@]}" --device "$vf"
expect_match "message" "$stderr" "$vf: VFIO_GROUP_GET_DEVICE_FD: .*EACCES"
echo "$kept" >"$token"
grep -rl -e "$kept" run.stdout run.stderr second.stderr guest.stderr && fail "the token was printed"

kill -KILL "$guest"
guest_kill "$guest" guest-sleep
expect_within 20 eval '! pgrep -x pcivm >/dev/null'
rm -rf /run/pcivm/vm/guest-sleep
expect_exit 0 pcivm vf destroy "$igb" --yes
expect_exit 0 pcivm device release "$igb"
[[ ! -e $token ]] || fail "the token outlives the PF's time on vfio-pci"
