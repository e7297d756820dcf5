"""Raw TCP: what a gigabyte costs, against real peers."""
