# SPDX-License-Identifier: GPL-2.0-or-later
# What is on the disk labelled CIDATA, as cloud-init would look for it.
modprobe -qa vfat nls_cp437 nls_ascii nls_utf8 nls_iso8859-1
disk=$(findfs LABEL=CIDATA) || { echo "LAB-RESULT error=no-label" && exit 1; }
echo "LAB-RESULT disk=$disk"
echo "LAB-RESULT readonly=$(cat /sys/block/${disk#/dev/}/ro)"
mount -t vfat -o ro "$disk" /mnt || { echo "LAB-RESULT error=no-mount" && exit 1; }
echo "LAB-RESULT files=$(ls /mnt | tr '\n' ' ')"
for file in /mnt/*; do echo "LAB-RESULT ${file##*/}=$(base64 -w 0 "$file")"; done
