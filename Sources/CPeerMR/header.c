/* SPDX-License-Identifier: Apache-2.0 */
/* A target needs a source file: this one shows that the header stands alone, and that its parts do. */
#include "peermr/bulk.h"
#include "peermr/region.h"
#include "peermr/memory.h"
#include "peermr/cache.h"
#include "peermr.h"
