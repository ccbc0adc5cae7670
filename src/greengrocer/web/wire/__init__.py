"""HTTP/1.1 on sockets: connections, request heads, answers, the server and its signals."""
