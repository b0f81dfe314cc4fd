"""The threads behind a client: renewal, loss and hints, the same for sync and async.

They are threads in async programs too, since a blocked event loop must not lose a lease.
"""
