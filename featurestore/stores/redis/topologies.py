"""The topology that an address means."""

from __future__ import annotations

from featurestore.stores.redis.address import Kind, RedisAddress
from featurestore.stores.redis.cluster import ClusterTopology
from featurestore.stores.redis.sentinel import SentinelTopology
from featurestore.stores.redis.topology import SingleServer, Topology

__all__ = ["make_topology"]


def make_topology(address: RedisAddress) -> Topology:
    """Give the topology of an address, which knows nothing yet but what the settings say."""
    reads_replicas = address.options.read_from == "replica"
    match address.kind:
        case Kind.SERVER:
            return SingleServer(address.nodes[0], address.replicas() if reads_replicas else ())
        case Kind.SENTINEL:
            return SentinelTopology(address.nodes, address.service, reads_replicas=reads_replicas)
        case Kind.CLUSTER:
            return ClusterTopology(address.nodes, reads_replicas=reads_replicas)
