/* SPDX-License-Identifier: GPL-2.0-or-later
 * Entry by PVH (32-bit, paging off), identity mapping of 4 GiB, long mode, and one stub an interrupt vector. */
    .section .note, "a", @note
    .balign 4
    .long 4, 4, 18          /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long entry

    .code32
    .text
    .globl entry
entry:
    cli
    cld
    movl $stack_end, %esp
    /* 4 x 512 pages of 2 MiB. */
    movl $directories, %edi
    movl $0x83, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl $pointers, %edi
    movl $directories + 3, %eax
    movl $4, %ecx
2:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 2b
    movl $pointers + 3, top
    movl $top, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax         /* PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx  /* EFER.LME */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    lgdt descriptors
    ljmp $8, $long_mode

    .code64
long_mode:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %ebp, %ebp
    call kernel_main
3:  hlt
    jmp 3b

    .macro stubs
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
    .else
    pushq $0                /* where the CPU pushes no error code */
    .endif
    pushq $vector
    jmp common
    .set vector, vector + 1
    .endr
    .endm
    .balign 16
    .globl interrupt_stubs
interrupt_stubs:
    stubs
common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    movq 72(%rsp), %rdi     /* vector */
    movq 88(%rsp), %rsi     /* rip */
    subq $8, %rsp
    call on_interrupt
    addq $8, %rsp
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .rodata
    .balign 8
table:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
descriptors:
    .word 23
    .long table
    .bss
    .balign 4096
top: .skip 4096
pointers: .skip 4096
    .globl directories
directories: .skip 4 * 4096
stack: .skip 65536
stack_end:
    .section .note.GNU-stack, "", @progbits
