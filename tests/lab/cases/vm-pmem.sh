# SPDX-License-Identifier: GPL-2.0-or-later
# A guest has a file of the host in its memory: both sides agree on every byte, what the guest made durable is on the
# host's disk at that moment, a file system is used without copies (DAX), and a read-only file stays as it is, also
# beside an assigned device, whose DMA does not reach the file. What cannot be such a file is refused.
# topologies: amdvi
# needs: pcivm
# deadline: 480
. /lab/cases/lib.sh

modprobe -a loop ext4
hash() { sha256sum <"$1" | cut -d ' ' -f 1; }
pmem() { # "KEY=VALUE..." OPTIONS [vm run OPTION...]
    local keys=$1 options=$2
    shift 2
    # shellcheck disable=SC2086
    run pcivm vm run pmem --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M \
        --cmdline "$(guest_cmdline pmem $keys)" --pmem "path=$image$options" "$@"
    expect_eq "exit code" "$code" 0
    expect_match "the guest's script" "$stdout" 'LAB-EXIT 0'
    expect_eq "error in the guest" "$(result error)" ""
    expect_eq "bytes" "$(result bytes)" "$(stat -c %s "$image")"
}

# The file is on a disk of its own, which is a file in memory: a copy of that one is what a power cut would leave.
truncate -s 96M disk
mkfs.ext4 -q disk
mkdir mounted
defer umount "$PWD/mounted"
mount -o loop disk mounted
image=$PWD/mounted/image
dd if=/dev/urandom of="$image" bs=1M count=32 status=none
sync
before=$(hash "$image")
parameters="lab.write=1 lab.sleep=10"
guest_start pmem --pmem "path=$image"
guest_says synced=1
cp disk after-power-cut
expect_eq "the file while the guest still runs" "$(hash "$image")" "$(sed -n 's/\r$//; s/^LAB-RESULT after=//p' guest.console)"
expect_exit 4 pcivm vm run other --kernel /lab/l2/vmlinux --pmem "path=$image"
expect_match "message" "$stderr" "in use"
guest_wait
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
expect_eq "contents as the guest reads them" "$(result before)" "$before"
[[ $(result after) != "$before" ]] || fail "the guest wrote nothing"
mkdir cut
defer umount "$PWD/cut"
mount -o loop after-power-cut cut
expect_eq "what a power cut would have left" "$(hash cut/image)" "$(result after)"
parameters=

before=$(hash "$image")
pmem dirty=1 ,readonly --device "$(bdf e1000e)" --timeline timeline.json
expect_eq "contents, read-only" "$(result before)" "$before"
expect_eq "contents as the guest reads them after it wrote" "$(result after)" "$before"
expect_eq "contents after a guest that may not write" "$(hash "$image")" "$before"
expect_eq "bytes that devices reach" "$(jq .dma.mappedBytes timeline.json)" $((256 << 20))

mkfs.ext4 -q -b 4096 "$image"
pmem mount=1 ""
expect_eq "files on a file system" "$(result files)" same
expect_match "without copies" "$stdout" 'dax=always'
mkdir looked
defer umount "$PWD/looked"
mount -o loop,ro "$image" looked
cmp looked/copy /usr/bin/busybox || fail "the host reads another file than the guest wrote"

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run pmem --kernel /lab/l2/vmlinux --pmem "$3"
    expect_match "message" "$stderr" "$2"
}
truncate -s 3M odd
refused 2 "multiple of 2097152 wanted" "path=$PWD/odd"
refused 3 "No such file|no such file" path=/nowhere
refused 2 "'path=' is missing" readonly
expect_exit 2 pcivm vm run pmem --firmware bios --pmem "path=$image"
expect_match "message" "$stderr" "--pmem found, but --firmware knows of no memory beside RAM"
truncate -s 128M "$PWD/mounted/large"
refused 7 "reserve 134217728 bytes.*ENOSPC" "path=$PWD/mounted/large"
