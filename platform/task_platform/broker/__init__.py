"""RabbitMQ: the buffer between the API and the workers; it only carries hints."""
