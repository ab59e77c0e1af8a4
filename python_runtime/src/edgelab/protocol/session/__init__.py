"""What both ends of a connection do with messages, without sockets, tasks or a clock.

Times are seconds of one monotonic clock, passed in. The daemons put it behind their WebSockets, tests and
simulators drive it directly.
"""
