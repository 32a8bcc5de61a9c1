/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: makes a program believe that it runs somewhere else, to force the refusal that it gives there.
 * Nothing that is to work is tested with it.
 *
 *   FAKE_RELEASE=6.12.0    what uname(2) tells as the kernel's release
 *   FAKE_NO_ODP=1          RDMA devices tell of no on-demand paging
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

int uname(struct utsname *names)
{
	const char *release = getenv("FAKE_RELEASE");
	long result = syscall(SYS_uname, names);

	if (result == 0 && release)
		strncpy(names->release, release, sizeof(names->release) - 1);
	return (int)result;
}

typedef int query(struct ibv_context *, const void *, struct ibv_device_attr_ex *, size_t, void *, size_t *);

/* Private to rdma-core, and the one place that all its providers ask the kernel through. */
int ibv_cmd_query_device_any(struct ibv_context *context, const void *input, struct ibv_device_attr_ex *attr,
			     size_t attr_size, void *response, size_t *response_size)
{
	query *real = (query *)dlsym(RTLD_NEXT, "ibv_cmd_query_device_any");
	int result = real(context, input, attr, attr_size, response, response_size);

	if (result == 0 && getenv("FAKE_NO_ODP") && attr_size >= sizeof(*attr))
		memset(&attr->odp_caps, 0, sizeof(attr->odp_caps));
	return result;
}
