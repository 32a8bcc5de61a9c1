/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOL_H
#define TOOL_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory by its name in a script: where the processor sees it, and the dma-buf of it, if any. */
struct memory {
	const char *name;
	unsigned char *bytes;
	size_t size;
	int dmabuf;		/* -1: host memory */
	int vfio;		/* the device's descriptor, -1 if it is none of vfio's */
	struct ibv_mr *mr;
	uint64_t address;	/* in the region, of the first byte of the memory */
};

/* Print what a call came to: its name, then `ok` or errno's name. */
void say_errno(const char *what, int error);

/* Like atol, but ends the program when there is anything else than a number. */
uint64_t number(const char *word);

/* memory.c: each takes the words of a command after its name, and prints what came of it. */
struct memory *find_memory(const char *name);
void make_host(char **words);
void make_udmabuf(char **words);
void make_heap(char **words);
void make_p2pmem(char **words);
void make_alias(char **words);
void discard(char **words);
void unmap(char **words);
void make_vfio(char **words);
void reset_vfio(char **words);
void close_vfio(char **words);
void close_buffer(char **words);
void fill(char **words);
void check(char **words);

/* transfer.c */
void open_device(const char *name);
void register_memory(char **words);
void register_elsewhere(char **words);
void register_everything(char **words);
void deregister_memory(char **words);
void connect_self(char **words);
void connect_pair(char **words);
void rdma_write(char **words);
void rdma_write_immediate(char **words);
void rdma_read(char **words);
void post_receive(char **words);
void send_message(char **words);
void wait_completion(char **words);
void wait_event(char **words);
void show_state(char **words);

#endif
