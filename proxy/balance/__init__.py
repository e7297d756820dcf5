"""Which endpoint a request goes to: peak-EWMA latency, power of two choices, circuit breaking (DESIGN 3.3).

Pure: the clock and the random numbers are arguments, so the same code runs in the simulator under a virtual clock.
"""
