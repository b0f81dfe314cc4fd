"""Placement as other libraries do it, so that one can move from them without moving a key.

Each class equals its library key by key, as vectors made with the library itself hold in place.
Keys are hashed in Python, so these are slower than the package's own algorithms.
"""

from concordant.placement.compat.libmemcached import LibmemcachedKetama
from concordant.placement.compat.pymemcache import PymemcacheRendezvous
from concordant.placement.compat.redis_cluster import RedisCluster
from concordant.placement.compat.uhashring import UhashringKetama, UhashringMd5

__all__ = [
    "LibmemcachedKetama",
    "PymemcacheRendezvous",
    "RedisCluster",
    "UhashringKetama",
    "UhashringMd5",
]
