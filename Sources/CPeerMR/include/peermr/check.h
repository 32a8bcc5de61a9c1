/* SPDX-License-Identifier: Apache-2.0 */
/* A part of peermr.h, which programs include, and which has the rules for all: can the NIC reach it, and why not? */
#ifndef PEERMR_CHECK_H
#define PEERMR_CHECK_H

#include "../peermr.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An answer is yes, no or unknown; an input that cannot be read makes it unknown, never yes. */
enum peermr_outcome { PEERMR_UNKNOWN = 0, PEERMR_YES = 1, PEERMR_NO = 2 };

/* The four questions, each of which has an answer of its own. */
enum peermr_question {
    PEERMR_QUESTION_API = 0,       /* do kernel, libraries and the NIC's driver have the calls? */
    PEERMR_QUESTION_EXPORTER = 1,  /* does the provider export its memory? */
    PEERMR_QUESTION_ROUTE = 2,     /* would the kernel let the NIC do DMA to the provider? */
    PEERMR_QUESTION_DATA = 3       /* did bytes arrive? Unknown until a region has been proven */
};

/* How the kernel would map the provider's memory for the client's DMA (enum pci_p2pdma_map_type). */
enum peermr_map_type {
    PEERMR_MAP_UNKNOWN = 0,
    PEERMR_MAP_BUS_ADDRESS = 1,    /* requests stay below the root complex */
    PEERMR_MAP_THROUGH_HOST_BRIDGE = 2,
    PEERMR_MAP_NOT_SUPPORTED = 3   /* the kernel refuses */
};

/* What led to a route, or prevents one. Later versions may add some: each has a name, too. */
enum peermr_finding_code {
    PEERMR_FINDING_OTHER = 0, PEERMR_FINDING_SAME_FUNCTION = 1, PEERMR_FINDING_COMMON_UPSTREAM = 2,
    PEERMR_FINDING_NO_PEER_TO_PEER = 3, PEERMR_FINDING_NO_COMMON_UPSTREAM = 4, PEERMR_FINDING_ACS_REDIRECT = 5,
    PEERMR_FINDING_CONFIG_UNREADABLE = 6, PEERMR_FINDING_CPU_ALLOWS = 7, PEERMR_FINDING_CPU_UNKNOWN = 8,
    PEERMR_FINDING_HOST_BRIDGE_LISTED = 9, PEERMR_FINDING_HOST_BRIDGE_NOT_LISTED = 10,
    PEERMR_FINDING_HOST_BRIDGE_UNKNOWN = 11, PEERMR_FINDING_SOFTWARE_DEVICE = 12, PEERMR_FINDING_NOT_PCI = 13,
    PEERMR_FINDING_COMPOSED = 14, PEERMR_FINDING_PATHS = 15, PEERMR_FINDING_PLACE_UNREADABLE = 16,
    PEERMR_FINDING_NO_SUCH_DEVICE = 17, PEERMR_FINDING_IS_BRIDGE = 18, PEERMR_FINDING_DEAD_DEVICE = 19,
    PEERMR_FINDING_IOMMU = 20, PEERMR_FINDING_NO_POOL = 21, PEERMR_FINDING_EXPORTER_DOES_NOT_ASK = 22,
    PEERMR_FINDING_EXPORTER_USES_HOST_MEMORY = 23, PEERMR_FINDING_EXPORTER_UNKNOWN = 24,
    PEERMR_FINDING_DATA_DIRECT = 25, PEERMR_FINDING_DATA_DIRECT_UNKNOWN = 26
};

struct peermr_answer {
    size_t struct_size;
    enum peermr_outcome outcome;
    const char *reason;
    const char *remedy;            /* what changes it; empty where nothing does or needs to */
};
#define PEERMR_ANSWER_INIT {sizeof(struct peermr_answer), PEERMR_UNKNOWN, NULL, NULL}

struct peermr_finding {
    size_t struct_size;
    enum peermr_finding_code code;
    const char *name;              /* the code as peermr check prints it, such as "acsRedirect" */
    const char *device;            /* the address or name that it is about */
    const char *detail;
    const char *remedy;
};
#define PEERMR_FINDING_INIT {sizeof(struct peermr_finding), PEERMR_FINDING_OTHER, NULL, NULL, NULL, NULL}

struct peermr_route_result {
    size_t struct_size;
    enum peermr_outcome outcome;   /* whether the kernel would allow DMA at all */
    enum peermr_map_type map_type; /* may be unknown where the outcome is certain */
    int32_t distance;              /* steps as the kernel counts them; negative where there is no route */
    const char *reason;
    const char *remedy;
};
#define PEERMR_ROUTE_RESULT_INIT \
    {sizeof(struct peermr_route_result), PEERMR_UNKNOWN, PEERMR_MAP_UNKNOWN, 0, NULL, NULL}

struct peermr_capability; /* the four answers for a NIC and a provider */

/*
 * Answers the four questions for an open RDMA device and the memory of a PCI function. A no is no failure.
 *
 * provider_bdf: the function whose memory it is, as lspci -D writes it ("0000:01:00.0"; "01:00.0" is in domain 0).
 * out: the answers, to be freed by peermr_capability_free(). They hold for this moment: devices are added and removed.
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, a malformed address), PEERMR_NOT_FOUND (there is no such function).
 * Reads sysfs: some milliseconds. Root sees more: other users cannot read the configuration space of functions.
 */
peermr_status peermr_check(struct ibv_context *context, const char *provider_bdf, struct peermr_capability **out);

/* Gives one of the four answers. Its texts are valid until the capability is freed. */
peermr_status peermr_capability_answer(const struct peermr_capability *capability, enum peermr_question question,
                                       struct peermr_answer *out);

/* Gives the route that the third answer is about. Its texts are valid until the capability is freed. */
peermr_status peermr_capability_route(const struct peermr_capability *capability, struct peermr_route_result *out);

/* How many findings led to the route; 0, with the failure recorded, for an invalid handle. */
uint64_t peermr_capability_finding_count(const struct peermr_capability *capability);

/* Gives a finding, from 0 on, in the order in which the kernel looks. Texts are valid until the capability is freed. */
peermr_status peermr_capability_finding(const struct peermr_capability *capability, uint64_t index,
                                        struct peermr_finding *out);

/* Frees the answers. NULL and an invalid handle give PEERMR_INVALID_ARGUMENT. */
peermr_status peermr_capability_free(struct peermr_capability *capability);

/*
 * Works out the route between two PCI functions, without an RDMA device. The texts are valid until this thread's next
 * call of a function that returns a peermr_status, other than peermr_last_error().
 *
 * Fails with PEERMR_INVALID_ARGUMENT (NULL, a malformed address), PEERMR_NOT_FOUND (there is no such function).
 */
peermr_status peermr_route(const char *client_bdf, const char *provider_bdf, struct peermr_route_result *out);

/* The names of values, as the peermr tool prints them: "yes", "busAddress"; "?" for other values. Static text. */
const char *peermr_outcome_name(enum peermr_outcome outcome);
const char *peermr_map_type_name(enum peermr_map_type map_type);

#ifdef __cplusplus
}
#endif

#endif
