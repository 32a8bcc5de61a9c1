/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEERMR_CRYPTO_SHIM_H
#define PEERMR_CRYPTO_SHIM_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#endif
