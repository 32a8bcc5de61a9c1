/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_ARCHIVE_SHIM_H
#define PEERMR_ARCHIVE_SHIM_H

#include <archive.h>
#include <archive_entry.h>

#endif
