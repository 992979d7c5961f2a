"""What changes with several machines: each module runs real servers, breaks one of them, and prints figures."""
