/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "preload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool preload_is_set(const char *name)
{
    const char *value = secure_getenv(name);
    return value && value[0] && strcmp(value, "0") != 0;
}

/* Names of devices and paths come from outside: a terminal must not act upon them. All sentences here are ASCII. */
static void make_printable(char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] < 0x20 || line[i] > 0x7e)
            line[i] = '?';
}

void preload_log(const struct refused *refused, const char *format, ...)
{
    /* One write, so that lines of several threads do not mix; a longer one is cut. */
    char line[2048];
    size_t limit = sizeof(line) - 1;
    size_t length;
    va_list arguments;

    if (!preload_is_set("PEERMR_VERBOSE"))
        return;
    int count = snprintf(line, limit, "peermr-preload: %s of %zu bytes at %p on %s failed (%s): ", refused->call,
                         refused->length, refused->address, refused->pd->context->device->name,
                         strerrordesc_np(refused->error) ? strerrordesc_np(refused->error) : "unknown error");
    length = count < 0 ? 0 : (size_t)count < limit ? (size_t)count : limit - 1;
    va_start(arguments, format);
    count = vsnprintf(line + length, limit - length, format, arguments);
    va_end(arguments);
    length += count < 0 ? 0 : (size_t)count < limit - length ? (size_t)count : limit - length - 1;
    make_printable(line, length);
    line[length++] = '\n';
    for (size_t done = 0; done < length;) {
        ssize_t written = write(STDERR_FILENO, line + done, length - done);
        if (written <= 0)
            return;
        done += (size_t)written;
    }
}
