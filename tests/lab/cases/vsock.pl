#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# vsock.pl listen PORT | connect PORT CID: sends standard input over one AF_VSOCK connection, and writes what comes to
# standard output, until both sides have ended. Without modules: there are none in a guest.
($what, $port, $cid) = @ARGV;

sub address { # struct sockaddr_vm
    return pack 'S S L L x4', 40, 0, $_[0], $_[1];
}

sub pass { # FROM TO
    my ($from, $to) = @_;
    while (my $length = sysread $from, my $data, 65536) {
        my $done = 0;
        $done += syswrite($to, $data, $length - $done, $done) || die "write: $!" while $done < $length;
    }
}

socket my $connection, 40, 1, 0 or die "socket: $!";
if ($what eq 'listen') {
    my $listener = $connection;
    bind $listener, address($port, 0xffffffff) or die "bind: $!";
    listen $listener, 1 or die "listen: $!";
    syswrite STDERR, "listening=$port\n";
    accept $connection, $listener or die "accept: $!";
} else {
    connect $connection, address($port, $cid) or die "connect: $!";
}
unless (fork) {
    pass(*STDIN, $connection);
    shutdown $connection, 1;
    exit 0;
}
pass($connection, *STDOUT);
wait;
exit $?;
