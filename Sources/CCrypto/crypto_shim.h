/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_CRYPTO_SHIM_H
#define PEERMR_CRYPTO_SHIM_H

#include <openssl/evp.h>

#endif
