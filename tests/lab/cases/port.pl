#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# port.pl SOCKET [BYTES [SECONDS]]: a client of a Unix socket: sends standard input, waits SECONDS, writes what comes to
# standard output until it is BYTES, and goes.
($path, $wanted, $pause) = @ARGV;

socket my $connection, 1, 1, 0 or die "socket: $!";
connect $connection, pack('S a*', 1, $path) or die "connect: $!";
unless (fork) {
    while (my $length = sysread STDIN, my $data, 65536) {
        my $done = 0;
        $done += syswrite($connection, $data, $length - $done, $done) || die "write: $!" while $done < $length;
    }
    exit 0;
}
sleep $pause if $pause;
while ($wanted > 0 and my $length = sysread $connection, my $data, $wanted < 65536 ? $wanted : 65536) {
    my $done = 0;
    $done += syswrite(STDOUT, $data, $length - $done, $done) || die "write: $!" while $done < $length;
    $wanted -= $length;
}
wait;
exit $wanted > 0 ? 1 : $?;
