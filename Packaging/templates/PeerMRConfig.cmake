# SPDX-License-Identifier: Apache-2.0
# find_package(PeerMR 0.1 REQUIRED), then target_link_libraries(program PRIVATE PeerMR::peermr).

find_library(PeerMR_IBVERBS ibverbs)
find_path(PeerMR_IBVERBS_INCLUDE infiniband/verbs.h)
if(NOT PeerMR_IBVERBS OR NOT PeerMR_IBVERBS_INCLUDE)
  set(PeerMR_FOUND FALSE)
  set(PeerMR_NOT_FOUND_MESSAGE "PeerMR needs libibverbs with its headers: install libibverbs-dev or rdma-core-devel.")
  return()
endif()

if(NOT TARGET PeerMR::peermr)
  add_library(PeerMR::peermr SHARED IMPORTED)
  set_target_properties(PeerMR::peermr PROPERTIES
    IMPORTED_LOCATION "@LIBDIR@/libpeermr.so.@VERSION@"
    IMPORTED_SONAME "@SONAME@"
    INTERFACE_INCLUDE_DIRECTORIES "@PREFIX@/include;${PeerMR_IBVERBS_INCLUDE}"
    INTERFACE_LINK_LIBRARIES "${PeerMR_IBVERBS}")
endif()
set(PeerMR_FOUND TRUE)
