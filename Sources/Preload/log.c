/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
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

/* One write, so that lines of several threads do not mix. */
static void put_line(char *line, size_t length)
{
    make_printable(line, length);
    line[length++] = '\n';
    for (size_t done = 0; done < length;) {
        ssize_t written = write(STDERR_FILENO, line + done, length - done);
        if (written <= 0)
            return;
        done += (size_t)written;
    }
}

/* Adds to a line of `limit` bytes, which a longer one is cut to; its length then. */
static size_t add(char *line, size_t length, size_t limit, const char *format, va_list arguments)
{
    int count = vsnprintf(line + length, limit - length, format, arguments);
    return length + (count < 0 ? 0 : (size_t)count < limit - length ? (size_t)count : limit - length - 1);
}

static void print(const char *format, va_list arguments)
{
    char line[2048] = "peermr-preload: ";
    int before = errno;
    put_line(line, add(line, strlen(line), sizeof(line) - 1, format, arguments));
    errno = before;
}

void preload_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void preload_log_once(atomic_flag *is_said, const char *format, ...)
{
    va_list arguments;
    if (!preload_is_set("PEERMR_VERBOSE") || atomic_flag_test_and_set(is_said))
        return;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void preload_log(const struct refused *refused, const char *format, ...)
{
    char line[2048];
    size_t limit = sizeof(line) - 1;
    va_list arguments;

    if (!preload_is_set("PEERMR_VERBOSE"))
        return;
    int count = snprintf(line, limit, "peermr-preload: %s of %zu bytes at %p on %s failed (%s): ", refused->call,
                         refused->length, refused->address, refused->pd->context->device->name,
                         strerrordesc_np(refused->error) ? strerrordesc_np(refused->error) : "unknown error");
    size_t length = count < 0 ? 0 : (size_t)count < limit ? (size_t)count : limit - 1;
    va_start(arguments, format);
    length = add(line, length, limit, format, arguments);
    va_end(arguments);
    put_line(line, length);
}
