# SPDX-License-Identifier: GPL-2.0-or-later
# Writes more than the host has room for, and goes on with what is there.
dd if=/dev/urandom of=/dev/vda bs=64k count=320 oflag=direct 2>/run/said && echo "LAB-RESULT error=it-was-written"
cat /run/said
dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null && echo "LAB-RESULT reads=1"
dd if=/dev/zero of=/dev/vda bs=64k count=16 oflag=direct conv=notrunc 2>/dev/null && echo "LAB-RESULT writes=1"
