# SPDX-License-Identifier: GPL-2.0-or-later
# Starts the watchdog and forgets it, unless that is what booted this guest.
# lab.feed=SECONDS keeps it for so long, then stops it in order.
appears() {
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        [ -c /dev/watchdog0 ] && return
        sleep 0.2
    done
}
appears
watchdog=/sys/class/watchdog/watchdog0
echo "LAB-RESULT identity=$(cat $watchdog/identity | tr ' ' -)"
echo "LAB-RESULT bootstatus=$(cat $watchdog/bootstatus)"
[ "$(cat $watchdog/bootstatus)" = 0 ] || exit 0
modprobe -r i6300esb
modprobe i6300esb heartbeat=4
appears
echo "LAB-RESULT timeout=$(cat $watchdog/timeout)"
exec 7>/dev/watchdog0
if [ -n "$LAB_feed" ]; then
    for second in $(seq "$LAB_feed"); do
        printf . >&7
        sleep 1
    done
    printf V >&7
    exec 7>&-
    sleep 6
    echo "LAB-RESULT fed=1"
    exit 0
fi
echo "LAB-RESULT forgotten=1"
sleep "${LAB_sleep:-60}"
echo "LAB-RESULT still=1"
