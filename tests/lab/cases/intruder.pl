#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# intruder.pl SUPERVISOR THREAD CALL [ARGUMENT...]: waits until the VMM below that process has a thread of that name, and
# has it make that system call (a number), by ptrace(2) and without any help of the VMM. x86-64.
my ($supervisor, $name, $call, @arguments) = @ARGV;
use constant {PTRACE => 101, PEEK => 1, CONT => 7, GETREGS => 12, SETREGS => 13, DETACH => 17, SEIZE => 0x4206, INTERRUPT => 0x4207};
# struct user_regs_struct, by index.
use constant {R10 => 7, R9 => 8, R8 => 9, RAX => 10, RDX => 12, RSI => 13, RDI => 14, ORIG_RAX => 15, RIP => 16, COUNT => 27};
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

sub threads {
    my @found;
    for my $child (map { m{(\d+)} } glob '/proc/[0-9]*') {
        next if read_line("/proc/$child/stat") !~ /^\d+ \(pcivm\) \S $supervisor /;
        for my $task (glob "/proc/$child/task/[0-9]*") {
            push @found, $task =~ s{.*/}{}r if read_line("$task/comm") eq $name;
        }
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
