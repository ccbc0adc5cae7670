"""Between HTTP and the pipeline: who may come in, who waits, who is ready."""
