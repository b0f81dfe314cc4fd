"""A bank on many shards: the worked example that uses placement, locks and transactions."""
