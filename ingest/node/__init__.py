"""The embedded Elasticsearch: fetch, start, stop."""

from ingest.node.node import Node, NodeInfo

__all__ = ["Node", "NodeInfo"]
