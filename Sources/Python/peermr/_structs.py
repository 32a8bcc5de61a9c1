# SPDX-License-Identifier: Apache-2.0
"""The structs of peermr.h. Tests compare their layout with the header's."""
import ctypes
from ctypes import c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p


class Struct(ctypes.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **values: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **values)


class Error(Struct):                # pylint: disable=too-few-public-methods
    """struct peermr_error"""
    _fields_ = [("struct_size", c_size_t), ("status", c_int), ("error_number", c_int), ("call", c_char_p),
                ("reason", c_char_p), ("remedy", c_char_p), ("message", c_char_p)]


class Answer(Struct):
    """struct peermr_answer"""
    _fields_ = [("struct_size", c_size_t), ("outcome", c_int), ("reason", c_char_p), ("remedy", c_char_p)]


class Finding(Struct):
    """struct peermr_finding"""
    _fields_ = [("struct_size", c_size_t), ("code", c_int), ("name", c_char_p), ("device", c_char_p),
                ("detail", c_char_p), ("remedy", c_char_p)]


class RouteResult(Struct):
    """struct peermr_route_result"""
    _fields_ = [("struct_size", c_size_t), ("outcome", c_int), ("map_type", c_int), ("distance", c_int32),
                ("reason", c_char_p), ("remedy", c_char_p)]


class Options(Struct):
    """struct peermr_options"""
    _fields_ = [("struct_size", c_size_t), ("access", c_int), ("fallback", c_int), ("flags", c_uint32),
                ("reserved", c_uint32), ("io_address", c_uint64), ("provider_bdf", c_char_p)]


class RegionInfo(Struct):
    """struct peermr_region_info"""
    _fields_ = [("struct_size", c_size_t), ("kind", c_int), ("method", c_int), ("lkey", c_uint32), ("rkey", c_uint32),
                ("io_address", c_uint64), ("length", c_uint64), ("address", c_void_p), ("alignment", c_uint64),
                ("path_mtu", c_uint32), ("bounced", c_uint32), ("slack_before", c_uint64), ("slack_after", c_uint64),
                ("nanoseconds", c_uint64), ("provider_bdf", c_char_p), ("reason", c_char_p),
                ("bounce_reason", c_char_p), ("owner", c_int)]


class Proof(Struct):
    """struct peermr_proof"""
    _fields_ = [("struct_size", c_size_t), ("state", c_int), ("into_memory", c_int), ("out_of_memory", c_int),
                ("first_difference", c_int64), ("length", c_uint64), ("nanoseconds", c_uint64), ("reason", c_char_p),
                ("owner", c_int)]


class MemoryInfo(Struct):
    """struct peermr_memory_info"""
    _fields_ = [("struct_size", c_size_t), ("kind", c_int), ("owner", c_int), ("length", c_uint64),
                ("address", c_void_p), ("has_dmabuf", c_int), ("reserved", c_uint32), ("provider_bdf", c_char_p),
                ("exporter", c_char_p), ("specification", c_char_p)]


class CacheLimits(Struct):
    """struct peermr_cache_limits"""
    _fields_ = [("struct_size", c_size_t), ("regions", c_uint64), ("bytes", c_uint64)]


class Lease(Struct):
    """struct peermr_lease"""
    _fields_ = [("struct_size", c_size_t), ("io_address", c_uint64), ("length", c_uint64), ("lkey", c_uint32),
                ("rkey", c_uint32), ("alignment", c_uint64), ("path_mtu", c_uint32), ("reserved", c_uint32),
                ("ticket", c_uint64)]


class CacheStatistics(Struct):
    """struct peermr_cache_statistics"""
    _fields_ = [("struct_size", c_size_t)] + [(name, c_uint64) for name in (
        "hits", "misses", "waits", "evictions_count", "evictions_bytes", "evictions_memory", "invalidations_buffer",
        "invalidations_range", "invalidations_provider", "invalidations_domain", "invalidations_loss",
        "invalidations_all", "regions", "ended_regions", "bytes_leased", "bytes_idle", "registration_nanoseconds",
        "saved_nanoseconds")]
