# SPDX-License-Identifier: GPL-2.0-or-later
# Three disks: vda with a limit of requests, vdb with one of bytes, vdc with none, all read at the same time. So little
# that a lab host under load is still much faster than the limits.
seconds() { # DISK BLOCK COUNT
    local start end
    start=$(cut -d ' ' -f 1 /proc/uptime)
    dd if="/dev/$1" of=/dev/null bs="$2" count="$3" iflag=direct 2>/dev/null || echo "LAB-RESULT error=$1"
    end=$(cut -d ' ' -f 1 /proc/uptime)
    echo "LAB-RESULT $1=$(awk "BEGIN { print int(($end - $start) * 1000) }")"
}
seconds vda 4k 60 &
seconds vdb 16k 24 &
seconds vdc 4k 60
wait
