#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# intruder.pl SUPERVISOR THREAD CALL [ARGUMENT...]: waits until the VMM below that process has a thread of that name, and
# has it make that system call (a number), by ptrace(2) and without any help of the VMM. x86-64. Without modules, of
# which the lab's Perl has none.
my ($supervisor, $name, $call, @arguments) = @ARGV;
sub PTRACE() { 101 }
sub PEEK() { 1 }
sub CONT() { 7 }
sub GETREGS() { 12 }
sub SETREGS() { 13 }
sub DETACH() { 17 }
sub SEIZE() { 0x4206 }
sub INTERRUPT() { 0x4207 }
# struct user_regs_struct, by index.
sub R10() { 7 }
sub R9() { 8 }
sub R8() { 9 }
sub RAX() { 10 }
sub RDX() { 12 }
sub RSI() { 13 }
sub RDI() { 14 }
sub ORIG_RAX() { 15 }
sub RIP() { 16 }
sub COUNT() { 27 }
my $all = 0x40000000; # __WALL
my $most = 90;

sub trace { # REQUEST TASK ADDRESS DATA
    return syscall(PTRACE, $_[0], $_[1] + 0, $_[2], $_[3]) == 0; # a string would be an address
}

sub read_line {
    open my $file, '<', $_[0] or return '';
    my $line = <$file> // '';
    chomp $line;
    return $line;
}

sub numbers { # FOLDER: the names in it that are numbers
    opendir my $folder, $_[0] or return;
    return grep { /^\d+$/ } readdir $folder;
}

sub threads {
    my @found;
    for my $child (numbers('/proc')) {
        next if read_line("/proc/$child/stat") !~ /^\d+ \(pcivm\) \S $supervisor /;
        push @found, grep { read_line("/proc/$child/task/$_/comm") eq $name } numbers("/proc/$child/task");
    }
    return @found;
}

# True when the thread is about to make the call: it stopped behind a system call instruction, which is made anew.
sub turn {
    my ($task) = @_;
    trace(SEIZE, $task, 0, 0) or return 0;
    trace(INTERRUPT, $task, 0, 0);
    for (my $stops = 0; $stops < 200; $stops++) {
        return 0 if waitpid($task, $all) != $task;
        my $raw = "\0" x (8 * COUNT);
        trace(GETREGS, $task, 0, $raw) or return 0;
        my @registers = unpack 'Q' . COUNT, $raw;
        my $word = "\0" x 8;
        if (trace(PEEK, $task, $registers[RIP] - 2, $word) && substr($word, 0, 2) eq "\x0f\x05") {
            @registers[RDI, RSI, RDX, R10, R8, R9] = map { $_ // 0 } @arguments[0 .. 5];
            $registers[RAX] = $call;
            $registers[ORIG_RAX] = ~0; # nothing is restarted
            $registers[RIP] -= 2;
            $raw = pack 'Q' . COUNT, @registers;
            trace(SETREGS, $task, 0, $raw) or return 0;
            return trace(CONT, $task, 0, 0);
        }
        trace(CONT, $task, 0, 0);
        select undef, undef, undef, 0.002;
        trace(INTERRUPT, $task, 0, 0);
    }
    return 0;
}

for (my $end = time + $most; time < $end;) {
    for my $task (threads()) {
        turn($task) or next;
        waitpid $task, $all; # until it is gone
        print "turned\n";
        exit 0;
    }
}
print "no thread '$name' within $most s\n";
exit 1;
