# SPDX-License-Identifier: GPL-2.0-or-later
# Waits for the ACPI power button and powers off, as a guest with an init system does.
button=$(grep -l 'Power Button' /sys/class/input/event*/device/name | head -n 1)
if [ -z "$button" ]; then
    echo "LAB-RESULT error=no-power-button"
    exit 1
fi
event=$(echo "$button" | cut -d / -f 5)
# Open before it says that it is ready: what is pressed before that, nobody hears.
exec 3<"/dev/input/$event"
echo "LAB-RESULT ready=1"
# One struct input_event of a 64-bit kernel: a key press wakes the read, whatever it says.
head -c 24 <&3 >/dev/null
echo "LAB-RESULT button=1"
