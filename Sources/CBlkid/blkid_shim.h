/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_BLKID_SHIM_H
#define PEERMR_BLKID_SHIM_H

#include <sys/types.h>
#include <blkid/blkid.h>

#endif
