"""The proxies that are compared: each in its best honest configuration with one worker thread, balancing every
request (or TCP connection) over the backends, without access logs. `table.py` lists them.
"""
