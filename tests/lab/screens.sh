# SPDX-License-Identifier: GPL-2.0-or-later
# What docs/screens.md shows, in a terminal of 80 columns: tests/lab/lab.py exec vtd tests/lab/screens.sh
# The drawing of docs/img/topology.svg comes last, between two marks.
. /lab/cases/lib.sh

# screen COMMAND...: what a user would see.
screen() {
    printf '\n$ %s\n' "$*"
    script -qec "stty cols 80 rows 60; NO_COLOR=1 LC_ALL=C.UTF-8 $*" /dev/null </dev/null | tr -d '\r'
}

igb=$(bdf igb)
modprobe vfio-pci
ip link set "$(netdev_of "$igb")" up
pcivm vf create "$igb" 7 --bind vfio-pci 2>/dev/null
guest_start wait-button --device "$igb/vf0"
guest_says "LAB-RESULT ready=1" 240

screen pcivm doctor
screen pcivm doctor "$igb/vf1" --all
screen pcivm device list
screen pcivm group list
screen pcivm topology
echo "---- topology.svg"
pcivm topology -o svg
echo "---- topology.html"
pcivm topology -o html
echo "---- end"
kill -TERM "$guest"
guest_wait
pcivm vf destroy "$igb" --yes
