/* SPDX-License-Identifier: Apache-2.0 */
/* What the members of libfabric's archive that make its cache want of the others: logging, parameters, and memory of
 * GPUs, none of which there is here. */
#include <stdbool.h>
#include <stdlib.h>

char core_prov[256];
void *cuda_monitor, *cuda_ipc_monitor, *rocr_monitor, *ze_monitor;

bool ofi_hmem_is_initialized(int kind)
{
    return kind == 0;
}

int fi_log_enabled(void)
{
    return 0;
}

void fi_log(void) {}

int fi_param_define(void)
{
    return -1;
}

int fi_param_get(void)
{
    return -1;
}

int ofi_cpu_supports(void)
{
    return 0;
}

long ofi_get_hugepage_size(void)
{
    return -1;
}

/* Never called: the linker wants them. */
#define UNUSED(name)                                                                                                   \
    void name(void)                                                                                                    \
    {                                                                                                                  \
        abort();                                                                                                       \
    }
UNUSED(fi_no_bind)
UNUSED(fi_no_control)
UNUSED(fi_no_ops_open)
UNUSED(fi_no_ops_set)
UNUSED(fi_no_tostr)
UNUSED(fi_strerror)
UNUSED(fi_tostr)
UNUSED(ofi_mmap_anon_pages)
UNUSED(ofi_unmap_anon_pages)
