"""An HTTP/1.1 server for a WSGI application that limits what a client can occupy.

One event loop per process reads and writes all sockets. The application runs in a few threads, and a request reaches
them only when its body is complete. A client that sends or reads slowly occupies limited memory, but never a thread.
docs/decisions/ explains why an existing server is not used. This package depends neither on Django nor on the service.
"""
