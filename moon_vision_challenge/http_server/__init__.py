"""An HTTP/1.1 server for a WSGI application that bounds what a client can hold of it.

One event loop per process reads and writes all sockets. The application runs in a few threads, and a request reaches
them only when its body is there as a whole: a client that sends or reads slowly holds memory that is counted, never a
thread. docs/decisions/ says why this is not one of the servers that exist. Knows nothing of Django or of the service.
"""
