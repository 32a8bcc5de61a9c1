/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bytes to and from another process's memory by MPI: one-sided put and get, send and receive.
 *
 *   mpirun -n 2 mpi-move MEMORY REQUEST...
 *
 * Rank 0 owns the memory: "host", or the PCI address of a device with p2pmem. Rank 1 asks: put:OFFSET:LENGTH get:…
 * send:… (to the owner) receive:… (from it). Nothing in it knows of PeerMR. The owner fills its memory before each
 * request, and compares every byte after it.
 */
#include <mpi.h>

#include "../common.h"

enum { OWNER, PEER, TAG = 77 };

static MPI_Win window;

/* All processes end with the first that fails. */
static void must(int status, const char *call)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (status == MPI_SUCCESS)
        return;
    MPI_Error_string(status, text, &length);
    fprintf(stderr, "%s: %s\n", call, text);
    fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static bool is(const struct request *request, const char *name)
{
    return strcmp(request->name, name) == 0;
}

/* The owner's part of a request: the verdict on its memory goes to the peer. */
static void serve(const struct request *request, unsigned char *memory)
{
    unsigned char *part = memory + request->offset;
    int length = (int)request->length;
    memory_fill(memory, 0, MEMORY_BYTES, BEFORE);
    must(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    if (is(request, "send"))
        must(MPI_Recv(part, length, MPI_BYTE, PEER, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "MPI_Recv");
    if (is(request, "receive"))
        must(MPI_Send(part, length, MPI_BYTE, PEER, TAG, MPI_COMM_WORLD), "MPI_Send");
    must(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    struct verdict verdict = judge(memory, request, is(request, "put") || is(request, "send"));
    must(MPI_Send(&verdict, sizeof(verdict), MPI_BYTE, PEER, TAG, MPI_COMM_WORLD), "MPI_Send");
}

/* Ask the owner for something, and report what both of us find. */
static bool ask(const struct request *request, unsigned char *local)
{
    struct verdict verdict, here = {0};
    int length = (int)request->length;
    memory_fill(local, request->offset, request->length, SENT);
    must(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    double began = seconds();
    if (is(request, "send"))
        must(MPI_Send(local, length, MPI_BYTE, OWNER, TAG, MPI_COMM_WORLD), "MPI_Send");
    else if (is(request, "receive"))
        must(MPI_Recv(local, length, MPI_BYTE, OWNER, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "MPI_Recv");
    else if (is(request, "put"))
        must(MPI_Put(local, length, MPI_BYTE, OWNER, request->offset, length, MPI_BYTE, window), "MPI_Put");
    else
        must(MPI_Get(local, length, MPI_BYTE, OWNER, request->offset, length, MPI_BYTE, window), "MPI_Get");
    must(MPI_Win_flush(OWNER, window), "MPI_Win_flush");
    double taken = seconds() - began;
    must(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    must(MPI_Recv(&verdict, sizeof(verdict), MPI_BYTE, OWNER, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE), "MPI_Recv");
    if (is(request, "get") || is(request, "receive"))
        memory_compare(local, request->offset, request->length, BEFORE, &here);
    return report(request, here.wrong ? &here : &verdict, taken);
}

int main(int count, char **words)
{
    int rank, ranks;
    bool right = true;
    struct request requests[count];
    if (count < 3)
        stop("usage: mpirun -n 2 %s MEMORY REQUEST...; see the head of mpi-move.c.", words[0]);
    for (int i = 2; i < count; i++)
        requests[i] = request_of(words[i], "put get send receive ");
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (ranks != 2)
        stop("there are %d processes, and two are wanted: mpirun -n 2 …", ranks);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    unsigned char *memory = memory_map(rank == OWNER ? words[1] : "host");
    must(MPI_Win_create(memory, rank == OWNER ? MEMORY_BYTES : 0, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &window),
         "MPI_Win_create");
    MPI_Win_set_errhandler(window, MPI_ERRORS_RETURN);
    must(MPI_Win_lock_all(0, window), "MPI_Win_lock_all");
    for (int i = 2; i < count; i++) {
        if (rank == OWNER)
            serve(&requests[i], memory);
        else
            right = ask(&requests[i], memory) && right;
    }
    must(MPI_Win_unlock_all(window), "MPI_Win_unlock_all");
    MPI_Win_free(&window);
    MPI_Finalize();
    return right ? 0 : 1;
}
