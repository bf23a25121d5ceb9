"""Task Platform: a durable asynchronous job platform on Postgres and RabbitMQ."""
