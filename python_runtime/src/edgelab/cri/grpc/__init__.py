"""Unary gRPC calls as a client makes them: HPACK, HTTP/2 and the call itself, on asyncio alone.

grpclib with h2 and hpack takes 2 MiB more and twice the CPU time for each call, and a node that is idle
does little else than ask its container runtime how it is.
"""
