/* SPDX-License-Identifier: Apache-2.0 */
/* uname(2), so that a test can run on another kernel than the machine does. Without one it is the machine's. */
#include "fake_state.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

void fake_verbs_set_kernel(const char *release)
{
    snprintf(fake->kernel, sizeof(fake->kernel), "%s", release);
}

int uname(struct utsname *names)
{
    int result = (int)syscall(SYS_uname, names);
    if (result == 0 && fake && fake->kernel[0])
        snprintf(names->release, sizeof(names->release), "%s", fake->kernel);
    return result;
}
