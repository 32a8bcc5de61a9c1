/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The call of libibverbs that a program would have come to without this library.
 *
 * It is the next one in the program's own order, as for any preloaded library, unless that is another libibverbs than
 * the one that opened the device. Wheels bring a libibverbs of their own, under a name of its own
 * (libibverbs-1f2e.so.1), that the objects beside it depend on and nobody else sees. That one is found from the object
 * that calls.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>

#include "table.h"

/* What a call from one place came to. */
struct resolved {
    void *call;
    unsigned long long unloaded; /* how many objects had been unloaded by then */
};

static struct table places = TABLE_INIT;

/*
 * Held by who asks the C library for its objects. That takes a lock of the linker's, which a child of fork(2) would
 * inherit held for ever, and wait for at its own first registration or C++ exception.
 */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

void preload_hold_places(void)
{
    table_hold(&places);
    pthread_mutex_lock(&asking);
}

void preload_release_places(void)
{
    pthread_mutex_unlock(&asking);
    table_release(&places);
}

static int see_unloaded(struct dl_phdr_info *info, size_t size, void *count)
{
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs))
        *(unsigned long long *)count = info->dlpi_subs;
    return 1;
}

/* The first address of the object that an address is in; NULL where it is in none. */
static const void *base_of(const void *address)
{
    Dl_info info;
    return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

/* A call of its own that the libibverbs that opened a device has put into the context; NULL without one. */
static const void *mark_of(struct ibv_context *context)
{
    struct verbs_context *calls = context ? verbs_get_ctx_op(context, query_port) : NULL;
    return calls ? (const void *)calls->query_port : NULL;
}

/* The call as the object of an address has it, by the libraries that it depends on. */
static void *from_object(const void *address, const char *name, const char *version)
{
    Dl_info info;
    struct link_map *object = NULL;
    if (!address || !dladdr1(address, &info, (void **)&object, RTLD_DL_LINKMAP) || !object || !object->l_name[0])
        return NULL;
    void *handle = dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD);
    void *call = handle ? dlvsym(handle, name, version) : NULL;
    /* It stays as long as the object that called: this was only a look. */
    if (handle)
        dlclose(handle);
    return call && base_of(call) != base_of((const void *)preload_next) ? call : NULL;
}

/* Whether a call is in a libibverbs, and not in another library that wraps it. */
static bool is_in_libibverbs(const void *call)
{
    return base_of(call) == base_of(dlvsym(RTLD_NEXT, "ibv_get_device_list", "IBVERBS_1.1"));
}

static void *look(const char *name, const char *version, const void *caller, const void *mark)
{
    void *next = dlvsym(RTLD_NEXT, name, version);
    const void *owner = base_of(mark);
    if (next && (!owner || base_of(next) == owner || !is_in_libibverbs(next)))
        return next;
    void *own = from_object(caller, name, version);
    if (own && (!owner || base_of(own) == owner))
        return own;
    void *owners = from_object(mark, name, version);
    if (owners)
        return owners;
    if (next || own)
        return next ? next : own;
    /* Loaded by a plug-in for itself alone, and called by an object that does not name it. */
    void *library = dlopen("libibverbs.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *call = library ? dlvsym(library, name, version) : NULL;
    if (library)
        dlclose(library);
    return call;
}

void *preload_next(const char *name, const char *version, const void *caller, struct ibv_context *context)
{
    unsigned long long unloaded = 0;
    const void *mark = mark_of(context);
    uint64_t which = (uintptr_t)name + (uint64_t)(uintptr_t)mark;
    pthread_mutex_lock(&asking);
    dl_iterate_phdr(see_unloaded, &unloaded);
    pthread_mutex_unlock(&asking);
    struct resolved *known = table_find(&places, (uintptr_t)caller, which);
    if (known && known->unloaded == unloaded)
        return known->call;
    void *call = look(name, version, caller, mark);
    (void)dlerror();
    /* A new one each time: another thread may be reading the old one, and unloading is rare. */
    struct resolved *resolved = call ? malloc(sizeof(*resolved)) : NULL;
    if (resolved) {
        *resolved = (struct resolved){call, unloaded};
        (void)table_put(&places, (uintptr_t)caller, which, resolved);
    }
    return call;
}
