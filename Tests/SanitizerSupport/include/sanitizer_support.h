/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing to call: programs that are linked with it can be looked at by ThreadSanitizer. */
