/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux calls and constants that Swift's Glibc module cannot see: request codes that are macros with
 * sizeof in them, flags behind _GNU_SOURCE, and stores that the compiler must not rewrite.
 */
#ifndef PEERMR_LINUX_SHIM_H
#define PEERMR_LINUX_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include "dmabuf_shim.h"
#include "maps_shim.h"
#include "vfio_shim.h"

/* The C name of an errno, for example "ENODEV"; NULL for a number that has none (strerrorname_np(3)). */
const char *peermr_errno_name(int number);

/* open(2) flags that are hidden behind _GNU_SOURCE. */
int peermr_o_direct(void);
int peermr_o_tmpfile(void);

/* syncfs(2), which is hidden there too. */
int peermr_sync_file_system(int fd);

/* ioctl(2) on a block device: 0, or -1 with errno. */
int peermr_block_size(int fd, uint32_t *logical_block_bytes);
int peermr_block_bytes(int fd, uint64_t *bytes);

/* major(3) and minor(3) of a file's st_rdev; -1 with errno when it is no block device (ENOTBLK). */
int peermr_block_number(int fd, uint32_t *major_number, uint32_t *minor_number);

/* The inode number of a file of sysfs; 0 where it is missing, or on another file system (statfs(2) is not imported). */
uint64_t peermr_sysfs_inode(const char *path);

/* The 16 bytes of an address as people write it, of IPv4 as ::ffff:a.b.c.d: 1, or 0 where it is none. */
int peermr_parse_address(const char *text, unsigned char bytes[16]);

/*
 * The interface that has an address, of IPv4 as ::ffff:a.b.c.d (getifaddrs(3)): 1 with its name, 0 where none has it,
 * -1 with errno.
 */
int peermr_interface_of(const unsigned char wanted[16], char name[16]);

/* Where bytes are among others (memmem(3)): the offset, or `count` where they are not. */
size_t peermr_find(const void *bytes, size_t count, const void *wanted, size_t wanted_count);

/*
 * A descriptor that becomes readable when SIGINT, SIGTERM or SIGHUP comes, and stays so until 8 bytes are read; it is
 * the caller's to close. Signals that are ignored stay ignored (nohup). A second signal ends the process as if there
 * were no handler, wherever it hangs. -1 with errno where there is none.
 */
int peermr_termination_descriptor(void);

/*
 * Makes standard input, output and error safe to use: one that is closed is opened, so that no file that the program
 * opens takes its number, and still fails with EBADF. A closed pipe and the limit of a file's size are errors of
 * write(2) from then on, and no signals.
 */
void peermr_prepare_standard_streams(void);

/* Ends the process by SIGPIPE, as one that writes to a closed pipe ends: shells show 141. */
void peermr_end_by_closed_pipe(void);

/*
 * Runs a program found on PATH with three descriptors as its standard streams, and waits for its end. `arguments` ends
 * with NULL. Returns what waitpid(2) says, or -1 with errno where it cannot be started.
 */
int peermr_run_program(char *const arguments[], int input, int output, int error);

/*
 * Device memory is not RAM: memset may use instructions that fault on it (DC ZVA on arm64) or that
 * split stores. These loops store and load 64 bits at a time, in order. Both counts are bytes and
 * must be multiples of 8, addresses 8-byte aligned.
 */
void peermr_device_zero(void *address, size_t bytes);

#endif
