# SPDX-License-Identifier: GPL-2.0-or-later
# A guest finds the seed for cloud-init by its label on a read-only disk behind the others, made of files or of a user.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

seed() { # OPTIONS [pcivm vm run OPTION...]
    guest_run seed --cloud-init "$1" "${@:2}"
    expect_eq "exit code" "$code" 0
    expect_match "the guest's script" "$stdout" 'LAB-EXIT 0'
    expect_eq "read-only" "$(result readonly)" 1
}
said() { result "$1" | base64 -d; }

echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIr9 ops@example" >key.pub
truncate -s 1M image
seed "user=ops,ssh-key=$PWD/key.pub,hostname=db-1" --disk "path=$PWD/image,format=raw"
expect_eq "its disk" "$(result disk)" /dev/vdb
expect_eq "files" "$(result files)" "meta-data user-data "
expect_eq "first line" "$(said user-data | head -n 1)" "#cloud-config"
stdout_before=$stdout
stdout=$(said user-data | tail -n +2)
expect_eq "user" "$(json '.users[0].name')" ops
expect_eq "key" "$(json '.users[0].ssh_authorized_keys[0]')" "$(<key.pub)"
stdout=$stdout_before
stdout=$(said meta-data)
expect_eq "host name" "$(json '.["local-hostname"]')" db-1

printf '#cloud-config\nruncmd:\n  - [touch, /x]\n' >user-data
head -c 20000 /dev/urandom | base64 >>user-data
printf 'instance-id: one\n' >meta-data
printf 'version: 2\n' >network-config
seed "user-data=$PWD/user-data,meta-data=$PWD/meta-data,network-config=$PWD/network-config"
expect_eq "files" "$(result files)" "meta-data network-config user-data "
for name in user-data meta-data network-config; do
    cmp <(said $name) $name || fail "the guest reads another $name"
done
