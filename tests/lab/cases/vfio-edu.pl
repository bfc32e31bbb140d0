#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# vfio-edu.pl GROUP DEVICE [OUTSIDE]: takes a PCI device by VFIO, maps a buffer for its DMA, and resets it. With an
# address OUTSIDE it is the edu device (QEMU, docs/specs/edu.rst): what it writes to the buffer and to OUTSIDE, and reads
# from there. Without modules: there are none in a guest.
($group, $name, $outside) = @ARGV;
($api, $set_iommu, $status, $join, $device_fd, $info, $region_info, $reset, $map, $unmap) =
    map { 0x3b64 + $_ } 0, 2, 3, 4, 6, 7, 8, 11, 13, 14; # <linux/vfio.h>
$bar = 0 << 40;
$config = 7 << 40;
$iova = 0x1000000; # edu has 28 bits
$size = 0x10000;

sub must { # WHAT RESULT
    defined $_[1] or die "LAB-RESULT error=$name-$_[0]: $!\n";
    return $_[1];
}

open $container, '+<', '/dev/vfio/vfio' or die "container: $!";
open $members, '+<', "/dev/vfio/$group" or die "group: $!";
must 'join', ioctl $members, $join, my $number = pack 'l', fileno $container;
must 'iommu', ioctl $container, $set_iommu, 3;

# Page-aligned memory inside of a string.
$memory = "\0" x (2 * $size);
$at = -unpack('J', pack 'p', $memory) & 0xfff;
must 'map', ioctl $container, $map, my $mapping = pack 'LLQQQ', 32, 3, unpack('J', pack 'p', $memory) + $at, $iova, $size;

$descriptor = 0 + must 'open', ioctl $members, $device_fd, my $asked = "$name\0";
open $device, '+<&=', $descriptor or die "device: $!";
must 'info', ioctl $device, $info, my $facts = pack 'LLLL', 16, 0, 0, 0;
printf "LAB-RESULT %s=%d\n", $name =~ tr/:./__/r, (unpack 'LLLL', $facts)[2];

# A VFIO device has no position: pread64, pwrite64.
sub get { # PLACE
    my $value = "\0" x 4;
    syscall(17, $descriptor, $value, 4, $_[0]) == 4 or die "LAB-RESULT error=$name-read: $!\n";
    return unpack 'L', $value;
}
sub put { # PLACE PATTERN VALUE
    my $value = pack $_[1], $_[2];
    syscall(18, $descriptor, $value, length $value, $_[0]) == length $value or die "LAB-RESULT error=$name-write: $!\n";
}
sub dma { # SOURCE DESTINATION COMMAND: 1 = to the device, 3 = from it
    put $bar + 0x80, 'L', $_[0];
    put $bar + 0x88, 'L', $_[1];
    put $bar + 0x90, 'L', 4;
    put $bar + 0x98, 'L', $_[2];
    for (1 .. 50) {
        return unless get($bar + 0x98) & 1;
        select undef, undef, undef, 0.1;
    }
    print "LAB-RESULT error=no-end-of-dma\n";
}

if (defined $outside) {
    $buffer = 0x40000; # in the device
    put $config + 4, 'S', 6;    # memory decoding, bus master
    printf "LAB-RESULT edu=%02x\n", get($bar) & 0xff;
    substr $memory, $at, 4, pack 'L', 0xdeadbeef;
    dma $iova, $buffer, 1;
    dma $buffer, $iova + 0x8000, 3;
    printf "LAB-RESULT landed=%08x\n", unpack 'L', substr $memory, $at + 0x8000, 4;
    dma $buffer, $outside, 3;
    dma $outside, $buffer, 1;
    dma $buffer, $iova + 0x8004, 3;
    printf "LAB-RESULT leaked=%08x\n", unpack 'L', substr $memory, $at + 0x8004, 4;
    put $config + 4, 'S', 2;
} else {
    must 'reset', ioctl $device, $reset, 0;
}
close $device;
must 'unmap', ioctl $container, $unmap, my $unmapping = pack 'LLQQ', 24, 0, $iova, $size;
