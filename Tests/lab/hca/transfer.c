/* SPDX-License-Identifier: Apache-2.0 */
/* Registration and transfers by plain verbs. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define MOST_SGE 8
#define DMABUF_ADDRESS 0x10000000ULL	/* the I/O address of the first byte of a dma-buf */
#define WAIT_MILLISECONDS 60000
#define ALL_ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)

static struct ibv_context *context;
static struct ibv_pd *pd, *other_pd;
static struct ibv_comp_channel *channel;
static struct ibv_cq *cq;
static struct ibv_qp *sender, *receiver;
static uint16_t lid;

static void need(const void *pointer, const char *what)
{
	if (pointer)
		return;
	say_errno(what, errno);
	exit(1);
}

void open_device(const char *name)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_port_attr port;
	int error;

	need(devices, "ibv_get_device_list");
	for (int i = 0; devices[i] && !context; i++) {
		if (strcmp(ibv_get_device_name(devices[i]), name) == 0)
			context = ibv_open_device(devices[i]);
	}
	need(context, "ibv_open_device");
	ibv_free_device_list(devices);
	need(pd = ibv_alloc_pd(context), "ibv_alloc_pd");
	need(other_pd = ibv_alloc_pd(context), "ibv_alloc_pd");
	need(channel = ibv_create_comp_channel(context), "ibv_create_comp_channel");
	need(cq = ibv_create_cq(context, 64, NULL, channel, 0), "ibv_create_cq");
	error = ibv_req_notify_cq(cq, 0);
	if (!error)
		error = ibv_query_port(context, 1, &port);
	if (error) {
		say_errno("open", error);
		exit(1);
	}
	lid = port.lid;
}

static int access_of(const char *letters)
{
	int access = 0;

	for (; *letters; letters++)
		access |= *letters == 'l' ? IBV_ACCESS_LOCAL_WRITE :
			  *letters == 'r' ? IBV_ACCESS_REMOTE_READ :
			  *letters == 'w' ? IBV_ACCESS_REMOTE_WRITE :
			  *letters == 'o' ? IBV_ACCESS_ON_DEMAND : 0;
	return access;
}

static void register_in(struct ibv_pd *domain, char **words)
{
	struct memory *memory = find_memory(words[0]);
	int access = words[1] ? access_of(words[1]) : ALL_ACCESS;
	bool part = words[1] && words[2];
	uint64_t offset = part ? number(words[2]) : 0;
	uint64_t length = part ? number(words[3]) : memory->size;

	errno = 0;
	if (memory->dmabuf >= 0) {
		memory->address = DMABUF_ADDRESS;
		memory->mr = ibv_reg_dmabuf_mr(domain, offset, length, DMABUF_ADDRESS + offset,
					       memory->dmabuf, access);
	} else {
		memory->address = (uintptr_t)memory->bytes;
		memory->mr = ibv_reg_mr(domain, memory->bytes + offset, length, access);
	}
	say_errno("register", memory->mr ? 0 : errno);
}

/* register NAME [ACCESS [OFFSET LENGTH]]: access as letters l, r, w, o (on demand), or - for none */
void register_memory(char **words)
{
	register_in(pd, words);
}

/* The same in a protection domain in which no queue pair is. */
void register_elsewhere(char **words)
{
	register_in(other_pd, words);
}

/* All of the address space on demand. */
void register_everything(char **words)
{
	(void)words;
	errno = 0;
	say_errno("register-everything",
		  ibv_reg_mr(pd, NULL, SIZE_MAX, ALL_ACCESS | IBV_ACCESS_ON_DEMAND) ? 0 : errno);
}

void deregister_memory(char **words)
{
	say_errno("deregister", ibv_dereg_mr(find_memory(words[0])->mr));
}

static struct ibv_qp *make_qp(void)
{
	struct ibv_qp_init_attr init = {
		.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
		.cap = { .max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = MOST_SGE,
			 .max_recv_sge = MOST_SGE },
	};
	struct ibv_qp *qp = ibv_create_qp(pd, &init);

	need(qp, "ibv_create_qp");
	return qp;
}

static void join(struct ibv_qp *qp, struct ibv_qp *to, int access)
{
	struct ibv_qp_attr init = { .qp_state = IBV_QPS_INIT, .port_num = 1,
				    .qp_access_flags = access };
	struct ibv_qp_attr ready = {
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096, .dest_qp_num = to->qp_num,
		.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
		.ah_attr = { .dlid = lid, .port_num = 1 },
	};
	struct ibv_qp_attr send = { .qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7,
				    .rnr_retry = 3, .max_rd_atomic = 1 };
	int error;

	error = ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			      IBV_QP_ACCESS_FLAGS);
	if (!error)
		error = ibv_modify_qp(qp, &ready, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				      IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				      IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (!error)
		error = ibv_modify_qp(qp, &send, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
				      IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				      IBV_QP_MAX_QP_RD_ATOMIC);
	if (error) {
		say_errno("ibv_modify_qp", error);
		exit(1);
	}
}

static void drop_connection(void)
{
	if (receiver && receiver != sender)
		ibv_destroy_qp(receiver);
	if (sender)
		ibv_destroy_qp(sender);
}

/* connect [ACCESS]: a new queue pair, connected with itself */
void connect_self(char **words)
{
	drop_connection();
	sender = receiver = make_qp();
	join(sender, sender, words[0] ? access_of(words[0]) : ALL_ACCESS);
}

/* pair [ACCESS]: two new ones; sends go out of the first, receives and remote access are at the second */
void connect_pair(char **words)
{
	drop_connection();
	sender = make_qp();
	receiver = make_qp();
	join(sender, receiver, ALL_ACCESS);
	join(receiver, sender, words[0] ? access_of(words[0]) : ALL_ACCESS);
}

/* NAME+OFFSET[:LENGTH] */
static struct ibv_sge place(char *word)
{
	char *plus = strchr(word, '+'), *colon = strchr(word, ':');
	struct ibv_sge sge = { .length = colon ? number(colon + 1) : 0 };
	struct memory *memory;

	if (!plus)
		exit(2);
	*plus = '\0';
	if (colon)
		*colon = '\0';
	memory = find_memory(word);
	sge.addr = memory->address + number(plus + 1);
	sge.lkey = memory->mr ? memory->mr->lkey : 0;
	return sge;
}

static int places(char **words, struct ibv_sge *sge)
{
	int count = 0;

	for (; *words && count < MOST_SGE; words++)
		sge[count++] = place(*words);
	return count;
}

static void post(char **words, enum ibv_wr_opcode opcode, const struct ibv_sge *remote)
{
	struct ibv_sge sge[MOST_SGE];
	struct ibv_send_wr wr = { .opcode = opcode, .sg_list = sge, .imm_data = 0x1234 }, *bad;
	int error;

	wr.num_sge = places(words, sge);
	if (remote) {
		wr.wr.rdma.remote_addr = remote->addr;
		wr.wr.rdma.rkey = remote->lkey;
	}
	error = ibv_post_send(sender, &wr, &bad);
	if (error)
		say_errno("post", error);
}

/* write TO FROM...: TO is NAME+OFFSET, each FROM is NAME+OFFSET:LENGTH */
void rdma_write(char **words)
{
	struct ibv_sge remote = place(words[0]);

	post(words + 1, IBV_WR_RDMA_WRITE, &remote);
}

void rdma_write_immediate(char **words)
{
	struct ibv_sge remote = place(words[0]);

	post(words + 1, IBV_WR_RDMA_WRITE_WITH_IMM, &remote);
}

/* read FROM TO... */
void rdma_read(char **words)
{
	struct ibv_sge remote = place(words[0]);

	post(words + 1, IBV_WR_RDMA_READ, &remote);
}

void send_message(char **words)
{
	post(words, IBV_WR_SEND_WITH_IMM, NULL);
}

void post_receive(char **words)
{
	struct ibv_sge sge[MOST_SGE];
	struct ibv_recv_wr wr = { .sg_list = sge }, *bad;
	int error;

	wr.num_sge = places(words, sge);
	error = ibv_post_recv(receiver, &wr, &bad);
	if (error)
		say_errno("receive", error);
}

static const char *name_of(const struct ibv_wc *wc)
{
	if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)
		return "received-write";
	if (wc->opcode & IBV_WC_RECV)
		return "received";
	return wc->opcode == IBV_WC_RDMA_READ ? "read" :
	       wc->opcode == IBV_WC_RDMA_WRITE ? "write" : "sent";
}

/* wait [COUNT]: for completions, asleep until the device tells of one */
void wait_completion(char **words)
{
	struct pollfd ready = { .fd = channel->fd, .events = POLLIN };
	uint64_t left = words[0] ? number(words[0]) : 1;
	struct ibv_cq *which;
	struct ibv_wc wc;
	void *unused;
	int got;

	while (left) {
		while (left && (got = ibv_poll_cq(cq, 1, &wc)) > 0) {
			printf("%s %s", name_of(&wc), ibv_wc_status_str(wc.status));
			if (wc.status == IBV_WC_SUCCESS && wc.opcode & IBV_WC_RECV)
				printf(" %u bytes, immediate %x", wc.byte_len, wc.imm_data);
			printf("\n");
			left--;
		}
		if (got < 0)
			return (void)printf("poll failed\n");
		if (!left)
			break;
		if (poll(&ready, 1, WAIT_MILLISECONDS) != 1)
			return (void)printf("no completion came\n");
		if (ibv_get_cq_event(channel, &which, &unused))
			return say_errno("ibv_get_cq_event", errno);
		ibv_ack_cq_events(which, 1);
		if (ibv_req_notify_cq(cq, 0))
			return (void)printf("notification failed\n");
	}
}

/* event: the next thing that the device tells of by itself */
void wait_event(char **words)
{
	struct pollfd ready = { .fd = context->async_fd, .events = POLLIN };
	struct ibv_async_event event;

	(void)words;
	if (poll(&ready, 1, WAIT_MILLISECONDS) != 1)
		return (void)printf("no event came\n");
	if (ibv_get_async_event(context, &event))
		return say_errno("event", errno);
	printf("event %s\n", ibv_event_type_str(event.event_type));
	ibv_ack_async_event(&event);
}

void show_state(char **words)
{
	static const char *const names[] = { "reset", "init", "rtr", "rts", "sqd", "sqe", "error" };
	struct ibv_qp *qp = words[0] && strcmp(words[0], "receiver") == 0 ? receiver : sender;
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	int error = ibv_query_qp(qp, &attr, IBV_QP_STATE, &init);

	if (error)
		say_errno("state", error);
	else
		printf("state %s\n", names[attr.qp_state]);
}
