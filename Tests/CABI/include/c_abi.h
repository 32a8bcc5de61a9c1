/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the C library, in C: every function, and what a program may do wrong. Over the fake libibverbs. */
#ifndef PEERMR_C_ABI_H
#define PEERMR_C_ABI_H

unsigned c_abi_count(void);
const char *c_abi_name(unsigned index);

/* Whether a test forks, and so wants a process without other threads. */
int c_abi_forks(unsigned index);

/* Runs a test on this thread. NULL, or what is wrong, as text that is valid until the next run. */
const char *c_abi_run(unsigned index);

/* The functions of the header that one of the tests calls, each; whether it may end the validity of texts. */
unsigned c_abi_entry_count(void);
const char *c_abi_entry_name(unsigned index);
int c_abi_entry_ends_texts(unsigned index);

#endif
