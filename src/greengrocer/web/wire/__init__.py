"""HTTP/1.1 on sockets: from a connection to a request, and from an answer to bytes."""
