/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swift's Mutex takes and gives back a lock that nobody else wants by atomic operations in the program itself, which
 * ThreadSanitizer sees, and any other in the Swift runtime and the kernel (futex(2), FUTEX_LOCK_PI), which it does not.
 * Here it is told of those. Tests/thread-sanitizer links the program so that these come before the runtime's.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* _MutexHandle._lockSlow(UInt32) and _MutexHandle._unlockSlow() of the Swift module Synchronization. */
SWIFT void real_lock(uint32_t thread, SELF void *handle)
    __asm__("__real_$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void real_unlock(SELF void *handle) __asm__("__real_$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
SWIFT void wrapped_lock(uint32_t thread, SELF void *handle)
    __asm__("__wrap_$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void wrapped_unlock(SELF void *handle) __asm__("__wrap_$s15Synchronization12_MutexHandleV11_unlockSlowyyF");

/* Without the linker's help there is nothing to call. */
#pragma weak real_lock
#pragma weak real_unlock

SWIFT void wrapped_lock(uint32_t thread, SELF void *handle)
{
    real_lock(thread, handle);
    __tsan_acquire(handle);
}

SWIFT void wrapped_unlock(SELF void *handle)
{
    __tsan_release(handle);
    real_unlock(handle);
}

#endif
#endif
