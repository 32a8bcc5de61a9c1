/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that knows nothing of PeerMR: it registers 8192 bytes as its argument says, and prints what it got. It is
 * linked twice, the second time (PLUGIN) without libibverbs, which then comes with plug-ins alone.
 */
#include <dlfcn.h>
#include <infiniband/verbs.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A mapping of the file in FAKE_FILE, by the name of which memory is recognised, or host memory. */
static char host[16384] __attribute__((aligned(4096)));
static char *memory = host;
static struct ibv_device device = {.name = "fake0"};
static struct verbs_context context;
static struct ibv_pd pd;

static int query_port(struct ibv_context *asked, uint8_t port, struct ibv_port_attr *attributes, size_t size)
{
    const char *mtu = getenv("FAKE_MTU");
    (void)asked;
    (void)size;
    if (port > 2)
        return EINVAL;
    attributes->state = port == 2 ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
    attributes->active_mtu = mtu ? (enum ibv_mtu)atoi(mtu) : IBV_MTU_4096;
    return 0;
}

static struct ibv_mr *show(struct ibv_mr *mr)
{
    int error = errno;
    if (mr)
        printf("region address+%td length %zu errno %d\n", (char *)mr->addr - memory, mr->length, error);
    else
        printf("NULL errno %d\n", error);
    return mr;
}

/* Whether the library has been loaded at all. */
static void *peermr(void)
{
    return dlopen("libpeermr.so.0", RTLD_LAZY | RTLD_NOLOAD);
}

static unsigned fake(const char *name)
{
    unsigned (*count)(void) = peermr() ? (unsigned (*)(void))dlsym(peermr(), name) : NULL;
    return count ? count() : 0;
}

#ifdef PLUGIN
static int use(const char *name)
{
    void *plugin = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    struct ibv_mr *(*call)(struct ibv_pd *, void *, size_t) =
        plugin ? (struct ibv_mr * (*)(struct ibv_pd *, void *, size_t)) dlsym(plugin, "plugin_register") : NULL;
    if (!call) {
        puts(dlerror());
        return 1;
    }
    errno = 77;
    show(call(&pd, memory, 8192));
    printf("its libibverbs was asked %u times\n", ((unsigned (*)(void))dlsym(plugin, "plugin_count"))());
    return 0;
}

/* Plug-ins by their files, with colons between them. */
static int other(const char *act)
{
    char *names = strdup(act), *rest = NULL;
    int failed = 0;
    for (char *name = strtok_r(names, ":", &rest); name; name = strtok_r(NULL, ":", &rest))
        failed |= use(name);
    free(names);
    return failed;
}
#else
/* The structs of IBVERBS_1.0 are others; the fake does not mind. */
struct ibv_mr *reg_mr_of_2006(struct ibv_pd *pd, void *address, size_t length, int access);
__asm__(".symver reg_mr_of_2006, ibv_reg_mr@IBVERBS_1.0");

struct mr_attributes {
    size_t length;
    int access;
    uint64_t comp_mask, iova;
    void *addr;
    int fd;
    uint64_t fd_offset;
    void *dmah, *buf;
};
struct ibv_mr *ibv_reg_mr_ex(struct ibv_pd *pd, struct mr_attributes *attributes);

static unsigned counted(const char *name, int argument)
{
    unsigned (*count)(int) = (unsigned (*)(int))dlsym(RTLD_DEFAULT, name);
    return count ? count(argument) : 0;
}

static void *many(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        struct ibv_mr *mr = ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE);
        if (!mr || ibv_dereg_mr(mr) != 0)
            return memory;
    }
    return unused;
}

static void threads(void)
{
    pthread_t thread[8];
    void *result, *failed = NULL;
    for (int i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, many, NULL);
    for (int i = 0; i < 8; i++)
        if (pthread_join(thread[i], &result) != 0 || result)
            failed = memory;
    puts(failed ? "some failed" : "all worked");
}

/* From here on every system call but write and exit ends the program: a registration may make none. */
static void allow_no_system_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        puts("no filter");
}

static int quiet(void)
{
    static struct ibv_mr *mr[3];
    int failed = !ibv_reg_mr(&pd, memory, 4096, IBV_ACCESS_LOCAL_WRITE);
    /* What malloc would ask for is there already. */
    free(malloc(1 << 16));
    allow_no_system_calls();
    for (int i = 0; i < 3; i++)
        failed |= !(mr[i] = ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE));
    static const char good[] = "no system call\n";
    if (write(1, good, failed ? 0 : sizeof(good) - 1) < 0)
        failed = 1;
    syscall(SYS_exit_group, failed);
    return 1;
}

static int fork_and_register(void)
{
    pid_t child;
    if (!ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE))
        puts("failed before");
    fflush(stdout);
    child = fork();
    if (child == 0) {
        show(ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return 0;
}

static int other(const char *act)
{
    volatile unsigned access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_RELAXED_ORDERING;
    struct mr_attributes attributes = {.length = 8192, .access = 1, .comp_mask = 2, .addr = memory, .fd = -1};
    struct ibv_mr *mr = NULL;
    errno = 77;
    if (strcmp(act, "plain") == 0)
        mr = show(ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE));
    else if (strcmp(act, "macro") == 0)
        mr = show(ibv_reg_mr(&pd, memory, 8192, access));
    else if (strcmp(act, "iova") == 0)
        mr = show(ibv_reg_mr_iova(&pd, memory, 8192, 0x7000, IBV_ACCESS_LOCAL_WRITE));
    else if (strcmp(act, "odd") == 0)
        mr = show(ibv_reg_mr(&pd, memory + 512, 8192, IBV_ACCESS_LOCAL_WRITE));
    else if (strcmp(act, "unmapped") == 0)
        mr = munmap(memory, 4096) == 0 ? show(ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE)) : NULL;
    else if (strcmp(act, "beyond") == 0)
        mr = show(ibv_reg_mr(&pd, memory + 12288, 8192, IBV_ACCESS_LOCAL_WRITE));
    else if (strcmp(act, "wrap") == 0)
        mr = show(ibv_reg_mr(&pd, memory, SIZE_MAX - 4096, IBV_ACCESS_LOCAL_WRITE));
    else if (strcmp(act, "zero-based") == 0)
        mr = show(ibv_reg_mr(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ZERO_BASED));
    else if (strcmp(act, "everything") == 0)
        mr = show(ibv_reg_mr(&pd, NULL, SIZE_MAX, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ON_DEMAND));
    else if (strcmp(act, "ex") == 0)
        mr = show(ibv_reg_mr_ex(&pd, &attributes));
    else if (strcmp(act, "ex-descriptor") == 0)
        attributes.comp_mask = 4, mr = show(ibv_reg_mr_ex(&pd, &attributes));
    else if (strcmp(act, "2006") == 0)
        mr = show(reg_mr_of_2006(&pd, memory, 8192, IBV_ACCESS_LOCAL_WRITE));
    else if (strcmp(act, "threads") == 0)
        threads();
    else if (strcmp(act, "quiet") == 0)
        return quiet();
    else if (strcmp(act, "fork") == 0)
        return fork_and_register();
    else if (strcmp(act, "itself") == 0) {
        int (*call)(struct ibv_pd *, void *, void *, void **) =
            (int (*)(struct ibv_pd *, void *, void *, void **))dlsym(dlopen("libpeermr.so.0", RTLD_NOW),
                                                                    "peermr_register_p2pmem");
        void *out;
        printf("status %d\n", call ? call(&pd, memory, NULL, &out) : -1);
    }
    printf("reg_mr %u iova %u iova2 %u ex %u of 2006 %u\n", counted("fake_ibverbs_count", 0),
           counted("fake_ibverbs_count", 1), counted("fake_ibverbs_count", 2), counted("fake_ibverbs_count", 3),
           counted("fake_ibverbs_count", 5));
    if (mr)
        printf("dereg %d\n", ibv_dereg_mr(mr));
    return 0;
}
#endif

int main(int count, char **words)
{
    const char *path = getenv("FAKE_FILE");
    if (path)
        memory = mmap(NULL, sizeof(host), PROT_READ | PROT_WRITE, MAP_SHARED, open(path, O_RDWR), 0);
    if (memory == MAP_FAILED)
        return 3;
    context.context.abi_compat = __VERBS_ABI_IS_EXTENDED;
    context.context.device = &device;
    context.sz = sizeof(context);
    context.query_port = query_port;
    if (getenv("FAKE_DEVICE"))
        snprintf(device.name, sizeof(device.name), "%s", getenv("FAKE_DEVICE"));
    pd.context = &context.context;
    int result = other(count > 1 ? words[1] : "plain");
    printf("peermr %s registered %u deregistered %u detached %u\n", peermr() ? "loaded" : "not loaded",
           fake("fake_peermr_registered"), fake("fake_peermr_deregistered"), fake("fake_peermr_detached"));
    return result;
}
