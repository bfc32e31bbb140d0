# SPDX-License-Identifier: GPL-2.0-or-later
# A guest reads and writes a raw disk by its own driver, with each kind of ring, one queue and several, cached and
# direct, and where io_uring is forbidden; both sides agree on every byte. A disk with a limit has its share while others
# have theirs; a host without room is an I/O error. What cannot be a disk is refused.
# topologies: amdvi
# needs: pcivm
# deadline: 480
. /lab/cases/lib.sh

image=$PWD/image
hash() { sha256sum "$image" | cut -d ' ' -f 1; }
with_disk() { # OPTIONS [KEY=VALUE...] [-- vm run OPTION...]
    local options=$1 keys=()
    shift
    while (($#)) && [[ $1 != -- ]]; do keys+=("$1") && shift; done
    run pcivm vm run disk --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M \
        --cmdline "$(guest_cmdline disk "${keys[@]}")" --disk "path=$image,format=raw$options" "${@:2}"
    expect_eq "exit code with '$options'" "$code" 0
    expect_match "the guest's script" "$stdout" 'LAB-EXIT 0'
    expect_eq "error in the guest" "$(result error)" ""
}

dd if=/dev/urandom of="$image" bs=1M count=24 status=none
before=$(hash)
with_disk ,serial=lab-0001,readonly
expect_eq "sectors" "$(result sectors)" 49152
expect_eq "read-only" "$(result readonly)" 1
expect_eq "serial number" "$(result serial)" lab-0001
expect_eq "queues" "$(result queues)" 1
expect_eq "contents as the guest reads them" "$(result before)" "$before"
expect_eq "contents after a guest that may not write" "$(hash)" "$before"

for ring in split packed; do
    before=$(hash)
    with_disk ",queues=2,ring=$ring" write=4 -- --cpus 2
    expect_eq "queues" "$(result queues)" 2
    expect_eq "cache" "$(result cache)" write-back
    expect_eq "contents before, $ring" "$(result before)" "$before"
    expect_eq "contents after, $ring" "$(result after)" "$(hash)"
    [[ $(hash) != "$before" ]] || fail "the guest wrote nothing"
    packed=$(result features | cut -c 35)
    expect_eq "VIRTIO_F_RING_PACKED" "$packed" "$([[ $ring == packed ]] && echo 1 || echo 0)"
done

# A block device, past the host's page cache, with a discard that the device underneath carries out.
modprobe loop
loop=$(losetup --find --show "$image")
defer losetup -d "$loop"
backing=$image
image=$loop
with_disk ,direct write=2 discard=2
image=$backing
sync
expect_eq "contents after, by a block device" "$(result after)" "$(hash)"
expect_eq "discarded" "$(dd if="$image" bs=1M skip=2 count=2 status=none | tr -d '\0' | wc -c)" 0

mkfs.ext4 -q -F "$image"
with_disk "" mount=1
expect_eq "files on a file system" "$(result files)" same

# The kernel gives no io_uring: plain calls, which is said once.
defer eval "echo 0 >/proc/sys/kernel/io_uring_disabled"
echo 2 >/proc/sys/kernel/io_uring_disabled
with_disk ",queues=2" write=4 -- --cpus 2
expect_eq "contents after, without io_uring" "$(result after)" "$(hash)"
expect_eq "messages about io_uring" "$(grep -c 'no io_uring.*plain system calls' <<<"$stderr")" 1
echo 0 >/proc/sys/kernel/io_uring_disabled

# 60 requests at 20 a second, and 384 KiB at 128 KiB a second, take 3 s less the tenth that is in store.
for disk in 1 2 3; do truncate -s 8M "limited$disk"; done
run pcivm vm run disk --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --cmdline "$(guest_cmdline disk-limit)" \
    --disk "path=$PWD/limited1,format=raw,iops=20" --disk "path=$PWD/limited2,format=raw,bandwidth=128K" \
    --disk "path=$PWD/limited3,format=raw"
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
echo "milliseconds: by requests $(result vda), by bytes $(result vdb), without a limit $(result vdc)"
(($(result vda) >= 2700 && $(result vda) < 10000)) || fail "60 requests at 20 a second took $(result vda) ms"
(($(result vdb) >= 2700 && $(result vdb) < 10000)) || fail "384 KiB at 128 KiB a second took $(result vdb) ms"
(($(result vdc) < $(result vda))) || fail "the disk without a limit took $(result vdc) ms"

mkdir full
defer umount "$PWD/full"
mount -t tmpfs -o size=8M tmpfs full
truncate -s 24M full/image
guest_run disk-full --disk "path=$PWD/full/image,format=raw"
expect_eq "exit code" "$code" 0
expect_eq "error in the guest" "$(result error)" ""
expect_match "what the guest's writer got" "$stdout" 'Input/output error|I/O error'
expect_match "message" "$stderr" 'ENOSPC'
(($(grep -c ENOSPC <<<"$stderr") <= 16)) || fail "too many messages"
expect_eq "reads go on" "$(result reads)" 1
expect_eq "writes go on where there is room" "$(result writes)" 1

refused() { # CODE TEXT OPTIONS
    expect_exit "$1" pcivm vm run disk --kernel /lab/l2/vmlinux --disk "$3"
    expect_match "message" "$stderr" "$2"
}
refused 2 "format=.* is missing" "path=$image"
refused 2 "format=qcow2 found, raw wanted" "path=$image,format=qcow2"
refused 2 "'colour' found" "path=$image,format=raw,colour=red"
refused 2 "iops=0 found" "path=$image,format=raw,iops=0"
refused 2 "bandwidth" "path=$image,format=raw,bandwidth=fast"
refused 2 "given twice" "path=$image,path=$image,format=raw"
refused 2 "neither a regular file nor a block device" "path=/tmp,format=raw"
refused 3 "No such file|no such file" "path=/nowhere,format=raw"
printf 'odd' >"$PWD/odd"
refused 2 "3 bytes, a multiple of 512 wanted" "path=$PWD/odd,format=raw"
exec 9<>"$image"
guest_start sleep --disk "path=$image,format=raw"
guest_says ready=1
refused 4 "in use" "path=$image,format=raw"
