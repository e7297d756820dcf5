"""Who has subscribed to what, what they have, and what they get next: the xDS protocol without its I/O."""
