"""What several machines change: each module runs real servers, breaks one of them, and prints figures."""
