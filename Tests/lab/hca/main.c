/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain verbs by script, for the tests of the lab HCA: each argument is one command of some words.
 *
 *   hca-tool DEVICE "host a 8192" "udmabuf b 8192" "register a" "register b" "connect" \
 *       "fill a 7" "write b+0 a+0:8192" "wait" "check b 7 0 8192"
 *
 * A line is printed for each command that can fail; a failure does not end the script.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define MOST_WORDS 24

void say_errno(const char *what, int error)
{
	printf("%s %s\n", what, error ? strerrorname_np(error) : "ok");
}

uint64_t number(const char *word)
{
	char *end;
	uint64_t value = word ? strtoull(word, &end, 0) : 0;

	if (!word || !*word || *end) {
		fprintf(stderr, "a number is wanted and not %s\n", word ? word : "nothing");
		exit(2);
	}
	return value;
}

/* Stop until the file is there that the test makes. */
static void wait_for_file(char **words)
{
	printf("waiting\n");
	while (access(words[0], F_OK) != 0)
		usleep(20000);
}

static void run_shell(char **words)
{
	char line[1000] = "";

	for (; *words; words++) {
		strcat(line, *words);
		strcat(line, " ");
	}
	printf("shell %d\n", system(line));
}

static const struct {
	const char *name;
	void (*run)(char **words);
} commands[] = {
	{ "host", make_host }, { "udmabuf", make_udmabuf }, { "heap", make_heap },
	{ "p2pmem", make_p2pmem }, { "alias", make_alias }, { "discard", discard },
	{ "unmap", unmap },
	{ "vfio", make_vfio }, { "reset", reset_vfio }, { "close", close_vfio },
	{ "close-buffer", close_buffer }, { "fill", fill }, { "check", check },
	{ "register", register_memory }, { "register-elsewhere", register_elsewhere },
	{ "register-everything", register_everything },
	{ "deregister", deregister_memory }, { "event", wait_event },
	{ "connect", connect_self }, { "pair", connect_pair }, { "write", rdma_write },
	{ "write-immediate", rdma_write_immediate }, { "read", rdma_read },
	{ "receive", post_receive }, { "send", send_message }, { "wait", wait_completion },
	{ "state", show_state }, { "wait-for", wait_for_file }, { "shell", run_shell },
};

static void run(char *command)
{
	char *words[MOST_WORDS + 1] = { NULL }, *rest = command;
	size_t count = 0;

	for (char *word; (word = strsep(&rest, " ")) && count < MOST_WORDS; )
		words[count++] = word;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(words[0], commands[i].name) == 0) {
			commands[i].run(words + 1);
			return;
		}
	}
	fprintf(stderr, "there is no command %s\n", words[0]);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: hca-tool DEVICE COMMAND...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	open_device(argv[1]);
	for (int i = 2; i < argc; i++)
		run(argv[i]);
	/* What is still open the kernel has to tidy up. */
	return 0;
}
