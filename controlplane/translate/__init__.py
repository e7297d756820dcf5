"""From the mesh to xDS v3 messages: pure, canonical to the byte, cached by content and view."""
